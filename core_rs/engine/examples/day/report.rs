//! The table of `docs/scaling.md`.

use std::fmt::Write;

use crate::run::Day;

pub const BEGIN: &str = "<!-- made by core_rs/engine/examples/day: from here -->\n";
pub const END: &str = "<!-- to here -->\n";

pub fn table(days: &[Day]) -> String {
    let mut out = String::from(
        "| policy | time to drain: median | 95 % | worker-hours | of them wasted | starts | tasks begun again |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for day in days {
        assert_eq!(
            day.open, 0,
            "{}: all is done at the end of the day",
            day.name
        );
        let (paid, worked) = (day.account.paid, day.account.worked);
        let _ = writeln!(
            out,
            "| {} | {} s | {} s | {} | {} | {} | {} |",
            day.title,
            quantile(&day.drained, 50),
            quantile(&day.drained, 95),
            hours(paid),
            hours(paid - worked),
            day.account.starts,
            day.account.again
        );
    }
    out
}

/// The page with the table in its place.
pub fn replaced(page: &str, table: &str) -> String {
    let begin = page.find(BEGIN).expect("the page has the first mark") + BEGIN.len();
    let end = page.find(END).expect("the page has the second mark");
    format!("{}\n{table}\n{}", &page[..begin], &page[end..])
}

fn quantile(sorted: &[u64], percent: usize) -> u64 {
    sorted[(sorted.len() - 1) * percent / 100]
}

fn hours(seconds: u64) -> u64 {
    (seconds + 1_800) / 3_600
}
