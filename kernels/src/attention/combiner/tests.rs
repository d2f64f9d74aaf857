//! Against the definition: whole documents, all scores of a row at hand.

use super::{
    super::{Span, testing::prove_gathered},
    *,
};

fn softmax(scores: &[f64]) -> Vec<f64> {
    let sum: f64 = scores.iter().map(|score| score.exp()).sum();
    scores.iter().map(|score| score.exp() / sum).collect()
}

/// Keys and values that a query may see, one head.
type Seen = (Vec<Vec<f64>>, Vec<Vec<f64>>);

/// Heads, elements of a key, elements of a value, and what scores are multiplied by.
#[derive(Clone, Copy)]
struct Shape(usize, usize, usize, f64);

impl Shape {
    fn row<'a>(self, span: &Span<'a, f64>, input: usize, token: usize, head: usize) -> &'a [f64] {
        let width = if input == 2 { self.2 } else { self.1 };
        &span.inputs[input][(span.row(token) * self.0 + head) * width..][..width]
    }

    fn scores<'a>(self, query: &[f64], keys: impl IntoIterator<Item = &'a [f64]>) -> Vec<f64> {
        let dot = |key: &[f64]| query.iter().zip(key).map(|(a, b)| a * b).sum::<f64>() * self.3;
        keys.into_iter().map(dot).collect()
    }

    /// What some tokens are summed up to, whose weights come of a query.
    fn mean(self, span: &Span<'_, f64>, input: usize, query: &[f64], tokens: Range<usize>, head: usize) -> Vec<f64> {
        let weights = softmax(&self.scores(query, tokens.clone().map(|t| self.row(span, 1, t, head))));
        let rows: Vec<_> = tokens.map(|t| self.row(span, input, t, head).to_vec()).collect();
        mix(&weights, &rows)
    }

    fn largest(self, span: &Span<'_, f64>, input: usize, tokens: Range<usize>, head: usize) -> Vec<f64> {
        let largest = |c: usize| tokens.clone().map(|t| self.row(span, input, t, head)[c]).fold(f64::MIN, f64::max);
        (0..self.1).map(largest).collect()
    }

    /// Softmax over what `before(token, head)` says and the tokens of the own region of `region` tokens so far.
    fn attend(self, span: &Span<'_, f64>, region: usize, before: impl Fn(usize, usize) -> Seen) -> Vec<f64> {
        let mut out = vec![];
        for i in span.own.clone() {
            let start = span.documents.start_of(i);
            for head in 0..self.0 {
                let (mut keys, mut values) = before(i, head);
                for token in i - (i - start) % region..=i {
                    keys.push(self.row(span, 1, token, head).to_vec());
                    values.push(self.row(span, 2, token, head).to_vec());
                }
                let scores = self.scores(self.row(span, 0, i, head), keys.iter().map(Vec::as_slice));
                out.extend(mix(&softmax(&scores), &values));
            }
        }
        out
    }

    /// The summaries of some runs of tokens by their largest queries and keys.
    fn pooled(self, span: &Span<'_, f64>, runs: impl Iterator<Item = Range<usize>>, head: usize) -> Seen {
        runs.map(|tokens| {
            let query = self.largest(span, 0, tokens.clone(), head);
            (self.largest(span, 1, tokens.clone(), head), self.mean(span, 2, &query, tokens, head))
        })
        .unzip()
    }
}

fn mix(weights: &[f64], rows: &[Vec<f64>]) -> Vec<f64> {
    (0..rows[0].len()).map(|c| weights.iter().zip(rows).map(|(w, row)| w * row[c]).sum()).collect()
}

#[test]
fn combiner_is_its_definition_on_any_ranks() {
    for (heads, key_width, value_width, region) in [(2, 3, 4, 3), (1, 4, 2, 8), (2, 2, 2, 1)] {
        let combiner = Combiner { heads, key_width, value_width, region, scale: 0.6 };
        let shape = Shape(heads, key_width, value_width, 0.6);
        prove_gathered(&combiner, &combiner, &|span, _| {
            shape.attend(span, region, |i, head| {
                let start = span.documents.start_of(i);
                let regions = (0..(i - start) / region).map(|r| start + r * region..start + (r + 1) * region);
                shape.pooled(span, regions, head)
            })
        });
    }
}

#[test]
fn logsparse_combiner_is_its_definition_on_any_ranks() {
    for (heads, key_width, value_width, region) in [(2, 3, 4, 3), (1, 4, 2, 8), (2, 2, 2, 1), (1, 2, 3, 70)] {
        let combiner = LogsparseCombiner { heads, key_width, value_width, region, scale: 0.6 };
        let shape = Shape(heads, key_width, value_width, 0.6);
        prove_gathered(&combiner, &combiner, &|span, _| {
            shape.attend(span, region, |i, head| {
                let start = span.documents.start_of(i);
                // The largest power of two that fits in what is left, from the start on.
                let (mut runs, mut at, mut left) = (vec![], start, (i - start) / region);
                while left > 0 {
                    let most = (0..).map(|j| 1 << j).take_while(|&size| size <= left).last().unwrap_or(1);
                    runs.push(at..at + most * region);
                    at += most * region;
                    left -= most;
                }
                shape.pooled(span, runs.into_iter(), head)
            })
        });
    }
}

#[test]
fn axial_combiner_is_its_definition_on_any_ranks() {
    for (heads, key_width, value_width, row) in [(2, 3, 4, 3), (1, 4, 2, 8), (2, 2, 2, 1), (1, 2, 3, 70)] {
        let combiner = AxialCombiner { heads, key_width, value_width, row, scale: 0.6 };
        let shape = Shape(heads, key_width, value_width, 0.6);
        prove_gathered(&combiner, &combiner, &|span, _| {
            shape.attend(span, row, |i, head| {
                let (start, end) = (span.documents.start_of(i), i - (i - span.documents.start_of(i)) % row);
                let above = (start..end).filter(|u| (u - start) % row == (i - start) % row);
                above
                    .map(|u| {
                        let first = u - (u - start) % row;
                        let mean = |input| shape.mean(span, input, shape.row(span, 0, u, head), first..first + row, head);
                        (mean(1), mean(2))
                    })
                    .unzip()
            })
        });
    }
}
