//! The contract of the Python S2I images, row by row: a project, its variables at build and at start, and what is
//! then seen of the container: its command lines, its page, its log, its end.
//!
//! Each row is a real image and a real container, without a network but its own loopback address, so that rows
//! may use the same port at the same time. gunicorn is the real one; Django is a stand-in (the examples run the
//! real one), because `run` knows it by its folder, and `manage.py` is the project's own file. What is seen is
//! told by `seen.py`, which all rows install.
//!
//! The rows hold on every builder: `S2R_CONTRACT_BUILDER=python-3.11` has them all built with that one, as
//! `tests/run` does after it has run them with the default.

#![expect(
    clippy::too_many_lines,
    clippy::print_stdout,
    reason = "a table is as long as it is; how long a row took is told where somebody asks (--show-output)"
)]

mod builds;
mod django;
mod files;
mod gunicorn;
mod packages;
mod row;
mod scripts;
mod shells;
mod signals;
mod users;
mod variables;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use row::Row;

/// Rows of one table that run at a time; the tables themselves run side by side.
const AT_A_TIME: usize = 2;

/// Runs all rows and tells of every one that fails, not only of the first.
fn hold(rows: &[Row]) {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if catch_unwind(AssertUnwindSafe(|| row.hold())).is_err() {
                        failed.lock().unwrap().push(row.name);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(
        failed.is_empty(),
        "{} of {} rows fail; see above: {failed:#?}",
        failed.len(),
        rows.len()
    );
}
