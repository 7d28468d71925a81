//! The sweep: each request of a push meets each kind of fault.

use crate::harness::faulty::{Act, Answer, Faulty, MOMENTS, Quirks, Rule};
use crate::harness::stored;
use crate::registry::{each, is_explained, push, pushes};

/// Requests of a push that meets no fault.
fn requests() -> usize {
    let registry = Faulty::start();
    pushes(&stored::home(), &registry);
    registry.log().len()
}

/// Three statuses a request, other ones for each: all pairs would take a minute.
fn some_of(statuses: &[u16], requests: usize) -> Vec<(usize, u16)> {
    let of = |number: usize| {
        let mut turned = statuses.iter().cycle().skip(number * 3);
        [(); 3].map(|()| (number, *turned.next().unwrap()))
    };
    (1..=requests).flat_map(of).collect()
}

#[test]
fn a_cut_at_any_request_is_got_over() {
    let count = requests();
    let cases: Vec<_> = (1..=count)
        .flat_map(|number| MOMENTS.map(|moment| (number, moment)))
        .collect();
    each(cases, |(number, moment)| {
        let quirks = Quirks {
            keeps_parts: number % 2 == 0,
            ..Quirks::default()
        };
        let registry = Faulty::with(quirks);
        registry.script([Rule::nth(None, number, Act::Cut(moment))]);
        let home = stored::home();
        pushes(&home, &registry);
    });
}

#[test]
fn a_passing_failure_of_any_request_is_got_over() {
    let count = requests();
    let cases = some_of(&[408, 425, 429, 500, 502, 503, 504], count);
    each(cases, |(number, status)| {
        let registry = Faulty::start();
        let answer = Answer::of(status).body(b"<html>gateway</html>");
        registry.script([Rule::nth(None, number, Act::Answer(answer))]);
        pushes(&stored::home(), &registry);
    });
}

#[test]
fn a_refusal_from_any_request_on_is_explained_and_the_next_push_is_right() {
    let count = requests();
    let cases = some_of(&[400, 401, 403, 404, 405, 413], count);
    each(cases, |(number, status)| {
        let registry = Faulty::start();
        let answer = Answer::error(status, "DENIED");
        registry.script([Rule::since(None, number, Act::Answer(answer))]);
        let home = stored::home();
        let finished = push(&home, &registry).exits(69);
        is_explained(&finished);
        let status = status.to_string();
        finished.says(&[&registry.host(), "app", &status]);
        assert_eq!(registry.digest("app", "1"), None);

        registry.script([]);
        pushes(&home, &registry);
    });
}

#[test]
fn a_registry_that_goes_away_at_any_request_is_named_and_the_next_push_is_right() {
    let count = requests();
    let cases: Vec<_> = (1..=count).collect();
    each(cases, |number| {
        let mut registry = Faulty::start();
        registry.goes_away_at(number);
        let home = stored::home();
        let finished = push(&home, &registry).exits(69);
        is_explained(&finished);
        finished.says(&[&registry.host()]);

        registry.comes_back();
        pushes(&home, &registry);
    });
}
