//! The Universal Scalability Law, fitted to what was measured.
//!
//! Throughput with `n` operations at once is `rate · n / (1 + σ (n − 1) + κ n (n − 1))` (Gunther, "Guerrilla Capacity
//! Planning", 2007): σ is the share of the work that only one can do at a time, κ what each pair costs to agree. Divided
//! by `n` and inverted it is linear in three numbers that cannot be negative, so the fit is exact: of the eight sets of
//! numbers that are not zero, the best one without a negative solution (Lawson and Hanson, "Solving Least Squares
//! Problems", 1974, for so few unknowns done by trying all).

use super::facts::LoadPoint;

/// A fitted law.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Usl {
    /// Operations per second of one alone (λ).
    pub rate: f64,
    /// Share of the work that only one can do at a time (σ), 0–1.
    pub serial: f64,
    /// Cost of agreement of each pair, as a share of the work (κ).
    pub crosstalk: f64,
    /// Root of the mean square of measured ÷ fitted throughput − 1.
    pub error: f64,
    /// Most operations at once among the points: beyond it the law is a guess.
    pub largest: f64,
}

/// Points that say too little about a law.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FitError {
    /// Three unknowns need four different numbers of operations for the fit to be checked.
    #[error(
        "throughput is known at {found} numbers of running operations; {needed} that differ are needed"
    )]
    TooFew {
        /// How many there are.
        found: usize,
        /// How many there have to be.
        needed: usize,
    },
    /// The points lie too close together for a curve to show.
    #[error(
        "the most operations at once are {ratio:.1} times the fewest; {needed:.0} times are needed"
    )]
    TooClose {
        /// Largest ÷ smallest concurrency.
        ratio: f64,
        /// What it has to be.
        needed: f64,
    },
    /// The points lie on no such curve: the load was not steady, or something else changed between them.
    #[error(
        "measured throughput is {error:.2} of the fitted one away from it; at most {allowed:.2} can be explained by noise"
    )]
    Poor {
        /// Root of the mean square of the relative error.
        error: f64,
        /// The most it can be.
        allowed: f64,
    },
}

impl Usl {
    /// Fits the law to points measured while operations were waiting, so that `concurrency` was the limit.
    ///
    /// # Errors
    ///
    /// [`FitError`] if there are too few points, they lie too close together, or on no such curve. Points that are not
    /// positive and finite do not count.
    pub fn fit(points: &[LoadPoint]) -> Result<Self, FitError> {
        let usable = |x: f64| x.is_finite() && x > 0.0;
        let points: Vec<LoadPoint> = points
            .iter()
            .copied()
            .filter(|point| usable(point.concurrency) && usable(point.throughput))
            .collect();
        let found = distinct(&points);
        if found < FEWEST {
            return Err(FitError::TooFew {
                found,
                needed: FEWEST,
            });
        }
        let largest = points
            .iter()
            .map(|point| point.concurrency)
            .fold(0.0, f64::max);
        let ratio = largest
            / points
                .iter()
                .map(|point| point.concurrency)
                .fold(f64::INFINITY, f64::min);
        if ratio < NARROWEST {
            return Err(FitError::TooClose {
                ratio,
                needed: NARROWEST,
            });
        }
        let [a, b, c] = solve(&points).ok_or(FitError::TooFew {
            found,
            needed: FEWEST,
        })?;
        let mut law = Self {
            rate: 1.0 / a,
            serial: b / a,
            crosstalk: c / a,
            error: 0.0,
            largest,
        };
        let squares = points
            .iter()
            .map(|point| (point.throughput / law.throughput(point.concurrency) - 1.0).powi(2));
        law.error = (squares.sum::<f64>() / points.len() as f64).sqrt();
        if law.error.is_nan() || law.error > WORST {
            return Err(FitError::Poor {
                error: law.error,
                allowed: WORST,
            });
        }
        Ok(law)
    }

    /// Operations per second with so many at once.
    #[must_use]
    pub fn throughput(&self, concurrency: f64) -> f64 {
        let others = concurrency - 1.0;
        self.rate * concurrency
            / (1.0 + self.serial * others + self.crosstalk * concurrency * others)
    }

    /// The number of operations at once beyond which more of them do less; `None` if throughput only levels off.
    #[must_use]
    pub fn peak(&self) -> Option<f64> {
        let peak = ((1.0 - self.serial).max(0.0) / self.crosstalk)
            .sqrt()
            .max(1.0);
        peak.is_finite().then_some(peak)
    }
}

fn distinct(points: &[LoadPoint]) -> usize {
    let mut seen: Vec<f64> = points.iter().map(|point| point.concurrency).collect();
    seen.sort_by(f64::total_cmp);
    // Means of the same setting differ in the last digits; half an operation apart is another setting.
    seen.dedup_by(|later, kept| *later - *kept < 0.5);
    seen.len()
}

/// The three coefficients of `n / x = a + b (n − 1) + c n (n − 1)`, none negative, `a` positive, by least squares of the
/// relative error: throughput is measured to so many per cent, not to so many operations per second.
fn solve(points: &[LoadPoint]) -> Option<[f64; 3]> {
    let rows: Vec<[f64; 3]> = points
        .iter()
        .map(
            |&LoadPoint {
                 concurrency: n,
                 throughput: x,
             }| [1.0, n - 1.0, n * (n - 1.0)].map(|term| term * x / n),
        )
        .collect();
    let candidates = [
        [true, false, false],
        [true, true, false],
        [true, false, true],
        [true, true, true],
    ];
    let mut best = None;
    for active in candidates {
        let Some(solution) = least_squares(&rows, active) else {
            continue;
        };
        if solution[0] <= 0.0 || solution.iter().any(|&x| x < 0.0) {
            continue;
        }
        let residual: f64 = rows
            .iter()
            .map(|row| (dot(row, &solution) - 1.0).powi(2))
            .sum();
        if best.is_none_or(|(least, _)| residual < least) {
            best = Some((residual, solution));
        }
    }
    best.map(|(_, solution)| solution)
}

/// Normal equations of the columns that are `active`, right side 1, by Gaussian elimination with pivots.
fn least_squares(rows: &[[f64; 3]], active: [bool; 3]) -> Option<[f64; 3]> {
    // Columns differ by the square of the concurrency: scaled to length 1, the equations keep their digits.
    let scale: [f64; 3] =
        std::array::from_fn(|i| rows.iter().map(|row| row[i] * row[i]).sum::<f64>().sqrt());
    let mut matrix = [[0.0; 4]; 3];
    for i in 0..3 {
        if !active[i] {
            matrix[i][i] = 1.0;
            continue;
        }
        for j in (0..3).filter(|&j| active[j]) {
            matrix[i][j] =
                rows.iter().map(|row| row[i] * row[j]).sum::<f64>() / (scale[i] * scale[j]);
        }
        matrix[i][3] = rows.iter().map(|row| row[i]).sum::<f64>() / scale[i];
    }
    for column in 0..3 {
        let pivot = (column..3)
            .max_by(|&i, &j| matrix[i][column].abs().total_cmp(&matrix[j][column].abs()))?;
        matrix.swap(column, pivot);
        let head = matrix[column];
        if head[column].is_nan() || head[column].abs() < 1e-12 {
            return None;
        }
        for row in matrix.iter_mut().skip(column + 1) {
            let factor = row[column] / head[column];
            for (cell, above) in row.iter_mut().zip(head) {
                *cell -= factor * above;
            }
        }
    }
    let mut solution = [0.0; 3];
    for i in (0..3).rev() {
        let known: f64 = (i + 1..3).map(|j| matrix[i][j] * solution[j]).sum();
        solution[i] = (matrix[i][3] - known) / matrix[i][i];
    }
    Some(std::array::from_fn(|i| {
        if active[i] {
            solution[i] / scale[i]
        } else {
            0.0
        }
    }))
}

fn dot(row: &[f64; 3], solution: &[f64; 3]) -> f64 {
    row.iter().zip(solution).map(|(x, y)| x * y).sum()
}

/// One more than there are unknowns: with three points any curve fits.
const FEWEST: usize = 4;
/// A curve over less than this shows no bend above the noise.
const NARROWEST: f64 = 2.0;
/// Windows of some hundred operations have a throughput known to a few per cent; more than this is another curve.
const WORST: f64 = 0.10;

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(law: &Usl, at: &[f64]) -> Vec<LoadPoint> {
        at.iter()
            .map(|&concurrency| LoadPoint {
                concurrency,
                throughput: law.throughput(concurrency),
            })
            .collect()
    }

    const AT: [f64; 6] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];

    #[test]
    fn exact_points_give_their_law_back() {
        for (rate, serial, crosstalk) in [
            (40.0, 0.05, 0.002),
            (3.5, 0.0, 0.01),
            (1e4, 0.3, 0.0),
            (7.0, 0.0, 0.0),
        ] {
            let law = Usl {
                rate,
                serial,
                crosstalk,
                error: 0.0,
                largest: 32.0,
            };
            let fitted = Usl::fit(&curve(&law, &AT)).expect("points of a law");
            assert!((fitted.rate / rate - 1.0).abs() < 1e-6, "{fitted:?}");
            assert!((fitted.serial - serial).abs() < 1e-6, "{fitted:?}");
            assert!((fitted.crosstalk - crosstalk).abs() < 1e-8, "{fitted:?}");
            assert!(fitted.error < 1e-6, "{fitted:?}");
        }
    }

    #[test]
    fn peak_is_where_throughput_is_largest() {
        let law = Usl {
            rate: 40.0,
            serial: 0.05,
            crosstalk: 0.002,
            error: 0.0,
            largest: 32.0,
        };
        let peak = law.peak().expect("it bends");
        let best = (1..100)
            .map(f64::from)
            .max_by(|&a, &b| law.throughput(a).total_cmp(&law.throughput(b)));
        assert!(
            (peak - best.expect("not empty")).abs() <= 0.5,
            "{peak} {best:?}"
        );
        assert_eq!(
            Usl {
                crosstalk: 0.0,
                ..law
            }
            .peak(),
            None
        );
    }

    #[test]
    fn points_that_say_too_little_are_refused() {
        let law = Usl {
            rate: 40.0,
            serial: 0.05,
            crosstalk: 0.002,
            error: 0.0,
            largest: 32.0,
        };
        let few = curve(&law, &[1.0, 2.0, 4.0, 4.2]);
        assert_eq!(
            Usl::fit(&few),
            Err(FitError::TooFew {
                found: 3,
                needed: 4
            })
        );
        let close = curve(&law, &[10.0, 11.0, 12.0, 13.0]);
        assert_eq!(
            Usl::fit(&close),
            Err(FitError::TooClose {
                ratio: 1.3,
                needed: 2.0
            })
        );
        let mut noise = curve(&law, &AT);
        noise[3].throughput *= 2.0;
        assert!(matches!(Usl::fit(&noise), Err(FitError::Poor { .. })));
        let nothing = [LoadPoint {
            concurrency: f64::NAN,
            throughput: 1.0,
        }; 9];
        assert_eq!(
            Usl::fit(&nothing),
            Err(FitError::TooFew {
                found: 0,
                needed: 4
            })
        );
    }

    #[test]
    fn throughput_above_proportional_is_no_negative_share() {
        // Caches that only fill with many operations: the law has no such term.
        let points: Vec<LoadPoint> = AT
            .iter()
            .map(|&n| LoadPoint {
                concurrency: n,
                throughput: 10.0 * n * (1.0 + n / 500.0),
            })
            .collect();
        let law = Usl::fit(&points).expect("nearly proportional");
        assert_eq!((law.serial, law.crosstalk), (0.0, 0.0));
    }
}
