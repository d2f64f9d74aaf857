//! Groups of rows that are near each other: k-means, with seeds drawn far from each other.

use super::Dense;
use crate::philox4x32;

/// Rows in groups.
#[derive(Debug, Clone, PartialEq)]
pub struct Clusters {
    /// The mean of each group, as rows, in the order of their first members.
    pub centroids: Dense,
    /// The group of each row.
    pub group: Vec<usize>,
}

/// The rows of a finite matrix in at most `groups` groups by Euclidean distance. `seed` decides where the search begins, which is one of many
/// local optima; it ends when no row changes its group, or after `steps` steps. Distances and means are f64, and of equally near
/// groups the first is taken, so that the answer is the same everywhere.
///
/// The first seed is any row, each other one is drawn by the square of its distance to the nearest before it (Arthur and Vassilvitskii,
/// 2007). O(rows · groups · columns) operations a step.
pub fn cluster(rows: &Dense, groups: usize, seed: u64, steps: usize) -> Clusters {
    let count = rows.rows();
    if groups >= count {
        return Clusters { centroids: rows.clone(), group: (0..count).collect() };
    }
    let mut centers: Vec<Vec<f64>> = seeds(rows, groups.max(1), seed).into_iter().map(|row| wide(rows.row(row))).collect();
    let mut group = assign(rows, &centers);
    for _ in 0..steps {
        means(rows, &group, &mut centers);
        let next = assign(rows, &centers);
        if next == group {
            break;
        }
        group = next;
    }
    means(rows, &group, &mut centers);
    // groups without members are left out, the others numbered in the order of their first
    let mut order: Vec<usize> = Vec::new();
    for of in &group {
        if !order.contains(of) {
            order.push(*of);
        }
    }
    let place = |of: &usize| order.iter().position(|known| known == of).unwrap_or(0);
    let data = order.iter().flat_map(|of| centers[*of].iter().map(|value| *value as f32)).collect();
    Clusters { centroids: Dense::new(order.len(), rows.cols(), data), group: group.iter().map(place).collect() }
}

fn wide(row: &[f32]) -> Vec<f64> {
    row.iter().map(|value| f64::from(*value)).collect()
}

fn square(row: &[f32], center: &[f64]) -> f64 {
    row.iter().zip(center).map(|(value, center)| (f64::from(*value) - center).powi(2)).sum()
}

/// The rows that the groups begin with.
fn seeds(rows: &Dense, groups: usize, seed: u64) -> Vec<usize> {
    let draw = |index: usize| {
        let words = philox4x32([index as u32, 0, 0, 0], [seed as u32, (seed >> 32) as u32]);
        (f64::from(words[0]) + f64::from(words[1]) / 4_294_967_296.0) / 4_294_967_296.0
    };
    let count = rows.rows();
    let mut chosen = vec![((draw(0) * count as f64) as usize).min(count - 1)];
    let mut nearest = vec![f64::INFINITY; count];
    for index in 1..groups {
        let last = wide(rows.row(chosen[index - 1]));
        for (row, nearest) in nearest.iter_mut().enumerate() {
            *nearest = nearest.min(square(rows.row(row), &last));
        }
        let wanted = draw(index) * nearest.iter().sum::<f64>();
        let mut sum = 0.0;
        let reached = |(_, distance): &(usize, &f64)| {
            sum += **distance;
            **distance > 0.0 && sum > wanted
        };
        // where all rows are chosen already, or equal to one that is, there is no other to begin with
        let Some((row, _)) = nearest.iter().enumerate().find(reached) else { break };
        chosen.push(row);
    }
    chosen
}

/// The nearest group of each row.
fn assign(rows: &Dense, centers: &[Vec<f64>]) -> Vec<usize> {
    let nearest = |row: usize| {
        let mut best = (f64::INFINITY, 0);
        for (group, center) in centers.iter().enumerate() {
            let distance = square(rows.row(row), center);
            if distance < best.0 {
                best = (distance, group);
            }
        }
        best.1
    };
    (0..rows.rows()).map(nearest).collect()
}

/// Moves every group that has members to their mean.
fn means(rows: &Dense, group: &[usize], centers: &mut [Vec<f64>]) {
    for (number, center) in centers.iter_mut().enumerate() {
        let members: Vec<usize> = (0..rows.rows()).filter(|row| group[*row] == number).collect();
        if members.is_empty() {
            continue;
        }
        center.fill(0.0);
        for row in &members {
            center.iter_mut().zip(rows.row(*row)).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        center.iter_mut().for_each(|sum| *sum /= members.len() as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::testing::noise;

    /// Points around three places, one place after the other.
    fn three() -> Dense {
        let jitter = noise(12, 2, 1);
        let places = [[0.0, 0.0], [50.0, 0.0], [0.0, 50.0]];
        Dense::from_fn(12, 2, |row, col| places[row % 3][col] + 0.1 * jitter.row(row)[col])
    }

    #[test]
    fn points_around_three_places_are_three_groups_whatever_the_seed() {
        let rows = three();
        for seed in 0..20 {
            let found = cluster(&rows, 3, seed, 100);
            assert_eq!(found.group, (0..12).map(|row| row % 3).collect::<Vec<_>>(), "seed {seed}");
            for (group, place) in [[0.0, 0.0], [50.0, 0.0], [0.0, 50.0f32]].iter().enumerate() {
                let row = found.centroids.row(group);
                assert!((row[0] - place[0]).abs() < 1.0 && (row[1] - place[1]).abs() < 1.0, "{row:?}");
            }
            assert_eq!(cluster(&rows, 3, seed, 100), found, "the same again");
        }
    }

    #[test]
    fn as_many_groups_as_rows_are_the_rows() {
        let rows = three();
        for groups in [12, 13, 100] {
            let found = cluster(&rows, groups, 5, 10);
            assert_eq!((found.centroids, found.group), (rows.clone(), (0..12).collect()));
        }
    }

    #[test]
    fn equal_rows_are_one_group() {
        let rows = Dense::from_fn(8, 3, |row, col| (row % 2 * 3 + col) as f32);
        let found = cluster(&rows, 5, 9, 10);
        assert_eq!(found.group, [0, 1, 0, 1, 0, 1, 0, 1]);
        assert_eq!(found.centroids, Dense::new(2, 3, vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]));
        assert_eq!(cluster(&rows, 1, 9, 10).centroids.data(), [1.5, 2.5, 3.5]);
    }
}
