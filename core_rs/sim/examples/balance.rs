//! Prints how well each case of `scaler_sim::balance` is spread: `balance [nodes slots [milliseconds]] [words of a case's name]`.

use scaler_sim::balance::{run, Case, CASES};

fn main() {
    let (numbers, words): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|word| word.parse::<u32>().is_ok());
    let number = |at: usize, usual: u32| {
        numbers
            .get(at)
            .map_or(usual, |it| it.parse().unwrap_or(usual))
    };
    let (nodes, slots) = (number(0, 10), number(1, 8));
    println!("{nodes} nodes of {slots} slots");
    println!("case                    elements  makespan ms   of the bound  of the list  inversions  frames  turns (an element)  idle: start between end ‰");
    for case in CASES
        .iter()
        .filter(|case| words.iter().all(|word| case.name.contains(word.as_str())))
    {
        let case = &Case {
            lasts: u64::from(number(2, 2_000)) * 1_000,
            ..*case
        };
        let sites = case.sites(nodes as usize, slots);
        let outcome = run(case, &sites);
        let of = |best: u64| best as f64 / outcome.makespan as f64;
        let idle = outcome.idle();
        let elements = outcome.runs.len() as f64;
        println!(
            "{:22} {:9} {:12.1} {:14.4} {:12.4} {:9} ‰ {:8.3} {:6.3} {:30.1} {:6.1} {:6.1}",
            case.name,
            outcome.runs.len(),
            outcome.makespan as f64 / 1e3,
            of(outcome.bound),
            of(outcome.list),
            outcome.inversions,
            outcome.frames as f64 / elements,
            outcome.turns as f64 / elements,
            idle.start,
            idle.between,
            idle.end,
        );
    }
}
