//! What the layer promises, measured at the provider: nothing refused, no window over the limit, and
//! the quota used.
//!
//! Every provider that the simulator has a twin of, under four conditions, on a paused clock: each
//! figure is what the *provider* counted, and the same at every run.
//!
//! ```text
//! cargo run --release --example guarantee              # print the tables
//! cargo run --release --example guarantee -- --write   # put them and the chart into the README
//! cargo run --release --example guarantee -- --check   # fail if the README says anything else
//! ```

mod case;
mod chart;
mod clients;
mod lowered;
mod readme;
mod run;
mod table;

use std::process::ExitCode;

use clap::Parser;
use proactive_rate_limit::BoxError;

#[derive(Parser)]
struct Args {
    /// Put the tables into README.md, and draw the chart beside this example.
    #[arg(long, conflicts_with = "check")]
    write: bool,
    /// Compare the tables with README.md, and fail if they differ.
    #[arg(long)]
    check: bool,
}

fn main() -> Result<ExitCode, BoxError> {
    let args = Args::parse();
    let tables = format!("{}\n{}", table::markdown()?, lowered::markdown()?);
    println!("{tables}");
    if args.write {
        readme::write(&tables)?;
        chart::draw()?;
    }
    if args.check && !readme::agrees(&tables)? {
        eprintln!("README.md says something else: run this with --write");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs on a clock of its own, that passes as fast as it can.
fn on_paused_clock<F: Future>(future: F) -> Result<F::Output, BoxError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    Ok(runtime.block_on(future))
}
