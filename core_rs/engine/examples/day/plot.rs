//! Plots as plain SVG: demand as an area, workers as a line.

use std::fmt::Write;

use crate::run::Day;

const WIDTH: u64 = 720;
const HEIGHT: u64 = 220;
const LEFT: u64 = 52;
const RIGHT: u64 = 12;
const TOP: u64 = 34;
const BOTTOM: u64 = 42;
/// Workers at the top of the axis.
const MOST: u64 = 100;

/// What a plot shows of a day, in seconds.
pub struct View {
    pub from: u64,
    pub to: u64,
    /// Of each point.
    pub step: u64,
    /// Between marks of the axis.
    pub mark: u64,
}

pub const DAY: View = View {
    from: 0,
    to: 86_400,
    step: 300,
    mark: 3 * 3_600,
};

/// A square wave at half the cool-down, over lunch.
pub const WAVE: View = View {
    from: 44_700,
    to: 45_900,
    step: 2,
    mark: 300,
};

/// Names of files, and what is to be in them.
pub fn all(days: &[Day]) -> Vec<(String, String)> {
    let scaled = days.iter().filter(|day| day.name != "all");
    let whole = scaled.map(|day| (format!("scaling-{}.svg", day.name), plot(day, &DAY)));
    let close = days
        .iter()
        .filter(|day| matches!(day.name, "naive" | "vanilla"));
    let close = close.map(|day| (format!("scaling-{}-wave.svg", day.name), plot(day, &WAVE)));
    whole.chain(close).collect()
}

/// One panel.
pub fn plot(day: &Day, view: &View) -> String {
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>{}: demand and workers</title>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"14\" font-weight=\"bold\">{}</text>\n",
        day.title, day.title
    );
    legend(&mut out);
    let points = points(day, view);
    let base = y(0);
    let area = corners(&points, view, |point| point.0.min(MOST));
    let _ = writeln!(
        out,
        "<path fill=\"#cfdcec\" d=\"M{} {base}{area}V{base}Z\"/>",
        x(view.from, view)
    );
    // It begins where it is at first, so its first step up is none.
    let line = corners(&points, view, |point| point.1.min(MOST));
    let _ = writeln!(
        out,
        "<path fill=\"none\" stroke=\"#c2410c\" stroke-width=\"1.5\" d=\"M{} {}{line}\"/>",
        x(view.from, view),
        y(points[0].1.min(MOST)),
    );
    axes(&mut out, view);
    out.push_str("</svg>\n");
    out
}

/// Of each step: the most tasks, and the most workers.
fn points(day: &Day, view: &View) -> Vec<(u64, u64)> {
    let seconds = &day.seconds[view.from as usize..view.to as usize];
    let most = |part: &[(u64, u64)]| {
        let tasks = part.iter().map(|it| it.0).max();
        (
            tasks.unwrap_or(0),
            part.iter().map(|it| it.1).max().unwrap_or(0),
        )
    };
    seconds.chunks(view.step as usize).map(most).collect()
}

/// Steps as a path: up or down, then to the right; equal ones are one.
fn corners(points: &[(u64, u64)], view: &View, height: impl Fn(&(u64, u64)) -> u64) -> String {
    let mut out = String::new();
    let mut last = None;
    for (index, point) in points.iter().enumerate() {
        let here = y(height(point));
        if last != Some(here) {
            if last.is_some() {
                let _ = write!(out, "H{}", x(view.from + index as u64 * view.step, view));
            }
            let _ = write!(out, "V{here}");
            last = Some(here);
        }
    }
    let _ = write!(out, "H{}", x(view.to, view));
    out
}

fn legend(out: &mut String) {
    let y = 20;
    let _ = writeln!(
        out,
        "<rect x=\"436\" y=\"{}\" width=\"14\" height=\"10\" fill=\"#cfdcec\"/>\n\
         <text x=\"455\" y=\"{y}\">tasks, up to {MOST}</text>\n\
         <path stroke=\"#c2410c\" stroke-width=\"1.5\" d=\"M570 {}h18\"/>\n\
         <text x=\"593\" y=\"{y}\">workers, starting too</text>",
        y - 9,
        y - 4
    );
}

fn axes(out: &mut String, view: &View) {
    for workers in [0, 25, 50, 75, 100] {
        let _ = writeln!(
            out,
            "<path stroke=\"#000\" stroke-opacity=\".15\" d=\"M{LEFT} {0}H{1}\"/>\n\
             <text x=\"{2}\" y=\"{3}\" text-anchor=\"end\">{workers}</text>",
            y(workers),
            WIDTH - RIGHT,
            LEFT - 6,
            y(workers) + 4
        );
    }
    let mut at = view.from;
    while at <= view.to {
        let text = format!("{:02}:{:02}", at / 3_600, at / 60 % 60);
        let anchor = if at == view.to { "end" } else { "middle" };
        let _ = writeln!(
            out,
            "<path stroke=\"#000\" d=\"M{0} {1}v4\"/><text x=\"{0}\" y=\"{2}\" text-anchor=\"{anchor}\">{text}</text>",
            x(at, view),
            y(0),
            y(0) + 16
        );
        at += view.mark;
    }
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">time of day</text>\n\
         <text x=\"14\" y=\"{}\" text-anchor=\"middle\" transform=\"rotate(-90 14 {})\">workers</text>",
        (LEFT + WIDTH - RIGHT) / 2,
        HEIGHT - 8,
        (TOP + HEIGHT - BOTTOM) / 2,
        (TOP + HEIGHT - BOTTOM) / 2
    );
}

fn x(at: u64, view: &View) -> u64 {
    LEFT + (at - view.from) * (WIDTH - LEFT - RIGHT) / (view.to - view.from)
}

fn y(workers: u64) -> u64 {
    HEIGHT - BOTTOM - workers * (HEIGHT - TOP - BOTTOM) / MOST
}
