//! The words in every order in which they may come.

use std::time::Duration;

use super::options::{size, time};
use super::*;
use clap::CommandFactory;

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn sizes_and_times_have_units() {
    assert_eq!(size("512M"), Ok(512 << 20));
    assert_eq!(size("4GiB"), Ok(4 << 30));
    assert_eq!(size("7"), Ok(7));
    assert_eq!(time("90s"), Ok(Duration::from_secs(90)));
    assert_eq!(time("2h"), Ok(Duration::from_hours(2)));
    for wrong in [
        "",
        "0",
        "G",
        "ü",
        "-1",
        "99999999999999999999",
        "18446744073709551615G",
    ] {
        assert!(size(wrong).is_err() && time(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn both_orders_of_names_are_read() {
    for (words, names) in [
        (vec!["s2r", "build", "."], vec![]),
        (vec!["s2r", "build", ".", "img"], vec!["img"]),
        (
            vec!["s2r", "build", ".", "python-3.13", "img", "--push"],
            vec!["python-3.13", "img"],
        ),
    ] {
        let Command::Build(build) = Cli::try_parse_from(words).unwrap().command else {
            panic!("not a build");
        };
        assert_eq!(build.names, names);
    }
}
