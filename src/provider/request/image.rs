/// The size of an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImageSize {
    /// From left to right.
    pub width: u64,
    /// From top to bottom.
    pub height: u64,
}

impl ImageSize {
    /// `width` times `height` pixels.
    pub const fn new(width: u64, height: u64) -> Self {
        Self { width, height }
    }
}

/// How many tokens a provider's models make of an image.
///
/// ```
/// use proactive_rate_limit::provider::{ImageSize, ImageTokens};
///
/// let claude = ImageTokens::by_patches(28, 4_784);
/// assert_eq!(claude.of(Some(ImageSize::new(1_024, 1_024))), 37 * 37);
/// // Larger ones are made smaller first.
/// assert_eq!(claude.of(Some(ImageSize::new(8_000, 6_000))), 4_784);
/// // Nobody has looked how large it is.
/// assert_eq!(claude.of(None), 4_784);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImageTokens {
    /// Pixels on a patch's side, if patches count.
    patch: Option<u64>,
    /// Hundredths of a token for a patch.
    percent: u64,
    most: u64,
    unseen: u64,
}

impl ImageTokens {
    /// The same for every image.
    pub const fn each(tokens: u64) -> Self {
        Self {
            patch: None,
            percent: 100,
            most: tokens,
            unseen: tokens,
        }
    }

    /// One for every patch of `side` times `side` pixels that the image covers or touches, and no
    /// more than `most`. A `side` of 0 is taken for 1.
    pub const fn by_patches(side: u64, most: u64) -> Self {
        Self {
            patch: Some(if side == 0 { 1 } else { side }),
            percent: 100,
            most,
            unseen: most,
        }
    }

    /// The same, with so many hundredths of a token for every patch.
    #[must_use]
    pub const fn weighed(mut self, percent: u64) -> Self {
        self.percent = percent;
        self
    }

    /// The same, with `tokens` for an image whose size is not known.
    #[must_use]
    pub const fn unseen(mut self, tokens: u64) -> Self {
        self.unseen = tokens;
        self
    }

    /// The tokens of an image of this size. `None`: that is not known.
    pub fn of(&self, size: Option<ImageSize>) -> u64 {
        let (Some(side), Some(size)) = (self.patch, size) else {
            return self.unseen;
        };
        let patches = size
            .width
            .div_ceil(side)
            .saturating_mul(size.height.div_ceil(side));
        patches
            .saturating_mul(self.percent)
            .div_ceil(100)
            .min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_are_counted_whole() {
        let rule = ImageTokens::by_patches(32, 100).weighed(120).unseen(50);
        let cases = [
            ((1, 1), 2),
            ((32, 32), 2),
            ((33, 32), 3),
            ((320, 160), 60),
            ((3_200, 3_200), 100),
            ((0, 0), 0),
            ((u64::MAX, u64::MAX), 100),
        ];
        for ((width, height), tokens) in cases {
            let size = ImageSize::new(width, height);
            assert_eq!(rule.of(Some(size)), tokens, "{width} x {height}");
        }
        assert_eq!(rule.of(None), 50);
    }

    #[test]
    fn a_flat_rule_asks_for_no_size() {
        let rule = ImageTokens::each(1_120);
        assert_eq!(rule.of(None), 1_120);
        assert_eq!(rule.of(Some(ImageSize::new(10, 10))), 1_120);
        assert_eq!(
            ImageTokens::by_patches(0, 9).of(Some(ImageSize::new(2, 2))),
            4
        );
    }
}
