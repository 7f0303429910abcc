//! A harness made with libtest-mimic, with everything in its names that such harnesses have.

use libtest_mimic::{Arguments, Failed, Measurement, Trial};

fn main() {
    let trials = vec![
        Trial::test("passes", || Ok(())),
        Trial::test("cases/größe: 1.txt", || Ok(())).with_kind("ui"),
        Trial::test("prints", || {
            println!("text of the test");
            Ok(())
        }),
        Trial::test("fails", || Err(Failed::from("expected failure"))),
        Trial::test("ignored", || Ok(())).with_ignored_flag(true),
        Trial::bench("measured", |_| {
            Ok(Some(Measurement {
                avg: 10,
                variance: 1,
            }))
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
