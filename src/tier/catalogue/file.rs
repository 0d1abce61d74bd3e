use std::fmt;

use serde::Deserialize;

use super::{Catalogue, CatalogueRow, compact};
use crate::tier::serialized::SerializedTier;
use crate::tier::snapshot::is_date;
use crate::tier::{Charge, Tier, TierError};

/// Why a file is no [`Catalogue`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CatalogueError {
    /// It is not TOML, or has other fields than a catalogue has. The message shows the line.
    Syntax {
        /// What is wrong, and where.
        message: String,
    },
    /// A limit is not of the form `500 rpm`.
    Limit {
        /// Which tier, as `provider/model@tier`.
        tier: String,
        /// What stands there.
        limit: String,
    },
    /// A date is not of the form `2026`, `2026-11` or `2026-11-20`.
    Date {
        /// Which tier, as `provider/model@tier`.
        tier: String,
        /// What stands there.
        date: String,
    },
    /// A row is no tier.
    Tier {
        /// Which tier, as `provider/model@tier`.
        tier: String,
        /// What is wrong with it.
        error: Box<TierError>,
    },
    /// Two rows are for the same provider, model and tier, by any of their names.
    Duplicate {
        /// Which tier, as `provider/model@tier`.
        tier: String,
    },
    /// Two models share a pool, and their rows differ in its limits or in what they count.
    Pool {
        /// Which tier, as `provider/model@tier`.
        tier: String,
        /// The pool.
        pool: String,
    },
}

impl fmt::Display for CatalogueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { message } => write!(f, "not a catalogue: {}", message.trim_end()),
            Self::Limit { tier, limit } => write!(
                f,
                "{tier}: {limit:?} is no limit; write for example \"500 rpm\", \"200_000 tpm\", \
                 \"1000 rpd-utc\" or \"4 concurrent\""
            ),
            Self::Date { tier, date } => write!(
                f,
                "{tier}: {date:?} is no date; write for example \"2026-11-20\" or \"2026-11\""
            ),
            Self::Tier { tier, error } => write!(f, "{tier}: {error}"),
            Self::Duplicate { tier } => write!(f, "{tier}: there are two rows for it"),
            Self::Pool { tier, pool } => write!(
                f,
                "{tier}: another row of the pool {pool:?} has other limits, or counts something else"
            ),
        }
    }
}

impl std::error::Error for CatalogueError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Tier { error, .. } => Some(&**error),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    tier: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    provider: String,
    model: String,
    #[serde(default)]
    aliases: Vec<String>,
    tier: Option<String>,
    pool: Option<String>,
    limits: Vec<String>,
    charge: Option<Charge>,
    assumed_output_tokens: Option<u64>,
    context_window: Option<u64>,
    source: Option<String>,
    date: Option<String>,
}

impl Catalogue {
    /// Reads the TOML of a file of your own. See the [module](super) for one.
    ///
    /// Each `[[tier]]` needs `provider`, `model` and `limits`, a list of texts like `"500 rpm"` in the
    /// units of the built-in table; an empty list is no limit at all. It may have `tier` (`custom` by
    /// default), `aliases`, `pool`, `charge` (`"actual"` or `"reserved"`), `assumed_output_tokens`,
    /// `context_window`, `source` and `date`.
    ///
    /// # Errors
    ///
    /// A [`CatalogueError`] that names the line or the tier. Unknown fields are errors, for a misspelt
    /// limit would be none.
    pub fn from_toml(text: &str) -> Result<Self, CatalogueError> {
        let file: File = toml::from_str(text).map_err(|error| CatalogueError::Syntax {
            message: error.to_string(),
        })?;
        let mut catalogue = Self::default();
        for row in file.tier {
            let row = row.read()?;
            if catalogue.rows().any(|other| other.is_also(&row)) {
                return Err(CatalogueError::Duplicate {
                    tier: row.tier.to_string(),
                });
            }
            if catalogue.rows().any(|other| other.contradicts(&row)) {
                return Err(CatalogueError::Pool {
                    tier: row.tier.to_string(),
                    pool: row.tier.pool().to_owned(),
                });
            }
            catalogue.rows.push(row);
        }
        Ok(catalogue)
    }
}

impl Row {
    fn read(self) -> Result<CatalogueRow, CatalogueError> {
        let name = self.tier.as_deref().unwrap_or("custom");
        let named = || format!("{}/{}@{name}", self.provider, self.model);
        let read = |limit: &String| {
            compact::limit(limit).ok_or_else(|| CatalogueError::Limit {
                tier: named(),
                limit: limit.clone(),
            })
        };
        let limits = self.limits.iter().map(read).collect::<Result<_, _>>()?;
        if let Some(date) = self.date.as_deref().filter(|date| !is_date(date)) {
            return Err(CatalogueError::Date {
                tier: named(),
                date: date.to_owned(),
            });
        }
        let serialized = SerializedTier {
            provider: self.provider.clone(),
            model: self.model.clone(),
            pool: self.pool.clone(),
            tier: Some(name.to_owned()),
            account: None,
            limits,
            discover: false,
            charge: self.charge,
            assumed_output_tokens: self.assumed_output_tokens,
            context_window: self.context_window,
        };
        let tier = Tier::try_from(serialized).map_err(|error| CatalogueError::Tier {
            tier: named(),
            error: Box::new(error),
        })?;
        Ok(CatalogueRow {
            tier,
            aliases: self.aliases,
            source: self.source,
            date: self.date,
        })
    }
}
