//! What reaches the provider in each of its windows, drawn over time.

use std::time::Duration;

use plotters::prelude::*;
use plotters::style::FontStyle;
use proactive_rate_limit::simulator::{Report, Simulator};
use proactive_rate_limit::{BoxError, Limit};
use tower::Layer;

use crate::case::{self, Case, MINUTE};
use crate::run::{self, Condition};
use crate::{clients, on_paused_clock};

const FILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/examples/guarantee/windows.svg"
);
const SPAN: Duration = Duration::from_secs(300);
const STEP: Duration = Duration::from_millis(500);

/// A provider with an exact sliding window, as Mistral's.
fn provider() -> (Case, u64) {
    let case = case::all()
        .into_iter()
        .find(|case| case.name == "Mistral, requests")
        .expect("it is in the table");
    let amount = case.binding().amount();
    (case, amount)
}

pub(crate) fn draw() -> Result<(), BoxError> {
    let (case, limit) = provider();
    assert_eq!(case.binding(), Limit::requests(limit).per_minute());
    let fresh = || run::simulator(&case, Condition::Jitter, 1);
    let plain = on_paused_clock(async {
        let simulator = fresh();
        clients::plain(&simulator, &case, SPAN).await;
        offered(&simulator)
    })?;
    let bucket = on_paused_clock(async {
        let simulator = fresh();
        clients::token_bucket(&simulator, &case, SPAN).await;
        offered(&simulator)
    })?;
    let layer = on_paused_clock(async {
        let simulator = fresh();
        let client = run::layer(&case).layer(simulator.clone());
        run::saturate(client, &case, SPAN).await;
        offered(&simulator)
    })?;
    let series = [
        (
            "plain client, again after a second",
            RGBColor(200, 80, 60),
            plain,
        ),
        ("token bucket", RGBColor(225, 160, 40), bucket),
        ("proactive-rate-limit", RGBColor(30, 110, 170), layer),
    ];
    plot(limit, &series)
}

/// One client's requests over time, refused ones included.
struct Offered {
    refused: u64,
    /// Seconds since the start, and requests within the minute before.
    windows: Vec<(f64, f64)>,
}

fn offered(simulator: &Simulator) -> Offered {
    let report: Report = simulator.report();
    let arrivals: Vec<Duration> = report.arrivals().iter().map(|arrival| arrival.at).collect();
    let steps = SPAN.as_millis() / STEP.as_millis();
    let windows = (0..=u32::try_from(steps).unwrap_or(u32::MAX))
        .map(|step| {
            let now = STEP * step;
            let until = arrivals.partition_point(|at| *at <= now);
            let from = match now.checked_sub(MINUTE) {
                Some(begin) => arrivals.partition_point(|at| *at <= begin),
                None => 0,
            };
            (now.as_secs_f64(), (until - from) as f64)
        })
        .collect();
    Offered {
        refused: report.throttled,
        windows,
    }
}

fn plot(limit: u64, series: &[(&str, RGBColor, Offered)]) -> Result<(), BoxError> {
    let limit = limit as f64;
    let counts = series.iter().flat_map(|(.., offered)| &offered.windows);
    let highest = counts.map(|(_, count)| *count).fold(limit, f64::max);
    let font = |size| ("sans-serif", size, FontStyle::Normal);
    let area = SVGBackend::new(FILE, (900, 460)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(
            "Requests that reach the provider, in the minute before",
            font(20),
        )
        .margin(16)
        .x_label_area_size(46)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..SPAN.as_secs_f64(), 0.0..highest * 1.08)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(232, 232, 232))
        .axis_style(RGBColor(120, 120, 120))
        .label_style(font(14))
        .axis_desc_style(font(15))
        .x_desc("seconds")
        .y_desc("requests in 60 s")
        .x_label_formatter(&|seconds| format!("{seconds:.0}"))
        .y_label_formatter(&|count| format!("{count:.0}"))
        .draw()?;
    let line = BLACK.stroke_width(1);
    chart
        .draw_series(LineSeries::new(
            [(0.0, limit), (SPAN.as_secs_f64(), limit)],
            line,
        ))?
        .label(format!("the limit: {limit:.0} per minute"))
        .legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], line));
    for (name, color, offered) in series {
        let style = color.stroke_width(2);
        let points = offered.windows.iter().copied();
        chart
            .draw_series(LineSeries::new(points, style))?
            .label(format!("{name}: {} refused", offered.refused))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::MiddleRight)
        .background_style(WHITE.mix(0.9))
        .border_style(RGBColor(200, 200, 200))
        .label_font(font(14))
        .draw()?;
    area.present()?;
    Ok(())
}
