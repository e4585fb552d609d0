use super::super::pour::Pour;

#[test]
fn what_is_in_the_way_moves_on() {
    // Three demands in a ring: each may use two of three bins, and all fit only one way.
    let fits = [vec![0, 1], vec![0], vec![1, 2]];
    let mut pour = Pour::new(&fits, vec![2, 2, 1]);
    assert_eq!(pour.place(0, 2), 0);
    assert_eq!(pour.place(2, 1), 0);
    assert_eq!(pour.place(1, 2), 0);
}

#[test]
fn what_does_not_fit_is_told_and_moves_nobody_out() {
    let fits = [vec![0], vec![0, 1]];
    let mut pour = Pour::new(&fits, vec![3, 1]);
    assert_eq!(pour.place(1, 3), 0);
    assert_eq!(pour.place(0, 5), 4);
    assert_eq!(pour.place(1, 1), 1);
    pour.enlarge(1, 2);
    assert_eq!(pour.place(0, 4), 2);
}

#[test]
fn no_bin_fits_nothing() {
    let fits = [vec![]];
    assert_eq!(Pour::new(&fits, vec![9]).place(0, 2), 2);
}
