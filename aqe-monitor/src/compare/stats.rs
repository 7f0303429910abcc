//! The few statistics that are needed.

/// The median. Reorders the values, of which there is at least one.
pub(super) fn median(values: &mut [f64]) -> f64 {
    let (middle, is_odd) = (values.len() / 2, values.len() % 2 == 1);
    let (below, &mut upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    if is_odd {
        return upper;
    }
    let lower = below
        .iter()
        .copied()
        .max_by(f64::total_cmp)
        .unwrap_or(upper);
    f64::midpoint(lower, upper)
}

/// The value at this share (0–1) of sorted values, of which there is at least one.
pub(super) fn at_share(sorted: &[f64], share: f64) -> f64 {
    let at = (share * (sorted.len() - 1) as f64).round() as usize;
    sorted[at.min(sorted.len() - 1)]
}

/// How far values lie from their median, in the median; times 1.4826, which makes it the standard deviation of a normal
/// distribution (Hampel, "The influence curve and its role in robust estimation", 1974).
pub(super) fn spread(values: &[f64]) -> f64 {
    let mut scratch = values.to_vec();
    let middle = median(&mut scratch);
    scratch
        .iter_mut()
        .for_each(|value| *value = (*value - middle).abs());
    1.4826 * median(&mut scratch)
}

/// Ranks from 1; equal values share the mean of theirs.
pub(super) fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&left, &right| values[left].total_cmp(&values[right]));
    let mut ranks = vec![0.0; values.len()];
    for equal in order.chunk_by(|&left, &right| values[left] == values[right]) {
        // The ranks that they have together end where the next begins.
        let before = equal.first().map_or(0, |first| {
            order.partition_point(|&at| values[at].total_cmp(&values[*first]).is_lt())
        });
        let shared = before as f64 + f64::midpoint(1.0, equal.len() as f64);
        equal.iter().for_each(|&at| ranks[at] = shared);
    }
    ranks
}

/// How much each value resembles the one before, from -1 to 1: the correlation of ranks at lag one.
pub(super) fn resemblance(ranks: &[f64]) -> f64 {
    let mean = (ranks.len() as f64 + 1.0) / 2.0;
    let square = |value: f64| (value - mean) * (value - mean);
    let all: f64 = ranks.iter().map(|&rank| square(rank)).sum();
    let neighbours: f64 = ranks
        .windows(2)
        .map(|pair| (pair[0] - mean) * (pair[1] - mean))
        .sum();
    if all > 0.0 { neighbours / all } else { 0.0 }
}

/// Values beyond which ranks are added up as if normally distributed; below, all cases are counted.
const COUNTED: usize = 64;

/// How probable differences as lopsided as these are if each might as well have the other sign, 0–1: the test of signed ranks (Wilcoxon,
/// "Individual comparisons by ranking methods", 1945), two-sided. Differences of zero say nothing.
pub(super) fn signed_rank_p(differences: &[f64]) -> f64 {
    let signed: Vec<f64> = differences
        .iter()
        .copied()
        .filter(|&value| value != 0.0)
        .collect();
    let sizes: Vec<f64> = signed.iter().map(|value| value.abs()).collect();
    let ranks = ranks(&sizes);
    let positive: f64 = ranks
        .iter()
        .zip(&signed)
        .filter(|(_, value)| **value > 0.0)
        .map(|(rank, _)| rank)
        .sum();
    let all: f64 = ranks.iter().sum();
    let smaller = positive.min(all - positive);
    if signed.is_empty() {
        return 1.0;
    }
    if signed.len() <= COUNTED {
        return (2.0 * share_of_sums(&ranks, smaller)).min(1.0);
    }
    let deviation = (ranks.iter().map(|rank| rank * rank).sum::<f64>() / 4.0).sqrt();
    let distance = ((all / 2.0 - smaller - 0.5) / deviation).max(0.0);
    (2.0 * normal_tail(distance)).min(1.0)
}

/// In which share of all choices of some ranks their sum is at most this. Ranks are whole or end in a half.
fn share_of_sums(ranks: &[f64], limit: f64) -> f64 {
    let limit = (2.0 * limit).round() as usize;
    let mut shares = vec![0.0; limit + 1];
    shares[0] = 1.0;
    for rank in ranks {
        let rank = (2.0 * rank).round() as usize;
        for sum in (0..=limit).rev() {
            let with = if sum >= rank { shares[sum - rank] } else { 0.0 };
            shares[sum] = f64::midpoint(shares[sum], with);
        }
    }
    shares.iter().sum()
}

/// How probable it is that values of the one side are as much above those of the other if both come from the same, 0–1: the test of
/// Mann and Whitney ("On a test of whether one of two random variables is stochastically larger than the other", 1947),
/// two-sided, as normally distributed, which it nearly is from eight values on each side.
pub(super) fn rank_sum_p(left: &[f64], right: &[f64]) -> f64 {
    let both = [left, right].concat();
    let ranks = ranks(&both);
    let (n, m, all) = (left.len() as f64, right.len() as f64, both.len() as f64);
    let sum: f64 = ranks[..left.len()].iter().sum();
    let mean = (all + 1.0) / 2.0;
    // The variance of the ranks as they are, ties and all.
    let variance = ranks
        .iter()
        .map(|rank| (rank - mean) * (rank - mean))
        .sum::<f64>()
        / (all - 1.0);
    let deviation = (n * m / all * variance).sqrt();
    if deviation == 0.0 {
        return 1.0;
    }
    let distance = (((sum - n * mean).abs() - 0.5) / deviation).max(0.0);
    (2.0 * normal_tail(distance)).min(1.0)
}

/// How probable it is that a normal value is at least so many deviations above the mean, within 1e-7 (Hastings, "Approximations for
/// digital computers", 1955; 26.2.17 in Abramowitz and Stegun).
fn normal_tail(distance: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * distance);
    let sum = t
        * (0.319_381_530
            + t * (-0.356_563_782
                + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    (-distance * distance / 2.0).exp() / std::f64::consts::TAU.sqrt() * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_numbers() {
        assert_eq!(median(&mut [3.0]), 3.0);
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn equal_values_share_their_ranks() {
        assert_eq!(ranks(&[5.0, 1.0, 5.0, 0.0]), [3.5, 2.0, 3.5, 1.0]);
        assert_eq!(ranks(&[2.0; 4]), [2.5; 4]);
    }

    #[test]
    fn signed_ranks_are_as_in_the_tables() {
        // The lowest sum of five ranks, on one side or the other: 2 of 32 cases.
        assert!((signed_rank_p(&[1.0, 2.0, 3.0, 4.0, 5.0]) - 0.0625).abs() < 1e-12);
        // Of ten values, a sum of 8 or less has a probability of 0.0244 on both sides together.
        let ten = [-1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -7.0, 8.0, 9.0, 10.0];
        assert!(
            (signed_rank_p(&ten) - 0.0488).abs() < 0.0005,
            "{}",
            signed_rank_p(&ten)
        );
        assert_eq!(signed_rank_p(&[0.0; 5]), 1.0);
        // Counted and as if normal, nearly the same.
        let values: Vec<f64> = (1..=64)
            .map(|at| {
                if at % 3 == 0 {
                    -f64::from(at)
                } else {
                    f64::from(at)
                }
            })
            .collect();
        let more = [&values[..], &[0.5]].concat();
        assert!((signed_rank_p(&values) / signed_rank_p(&more) - 1.0).abs() < 0.2);
    }

    #[test]
    fn rank_sums_are_as_in_the_tables() {
        let left: Vec<f64> = (0..10).map(f64::from).collect();
        // All of ten above all of ten: 2 of 184,756 cases; as if normal, 0.00018.
        let right: Vec<f64> = (10..20).map(f64::from).collect();
        assert!((rank_sum_p(&left, &right) - 0.00018).abs() < 0.00002);
        assert!(rank_sum_p(&left, &left) > 0.999_999);
        assert_eq!(rank_sum_p(&[1.0; 9], &[1.0; 9]), 1.0);
        assert!((normal_tail(1.959_964) - 0.025).abs() < 1e-6);
    }

    #[test]
    fn neighbours_that_resemble_each_other_are_seen() {
        let rising: Vec<f64> = (1..=100).map(f64::from).collect();
        assert!(resemblance(&rising) > 0.9);
        let turns: Vec<f64> = (0..100)
            .map(|at| if at % 2 == 0 { 1.0 } else { 2.0 })
            .collect();
        assert!(resemblance(&ranks(&turns)) < -0.9);
        assert_eq!(resemblance(&ranks(&[1.0; 10])), 0.0);
    }
}
