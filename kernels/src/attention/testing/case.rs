//! Random packed sequences: documents of awkward lengths, a span that begins and ends anywhere, and cuts into ranks.

use std::ops::Range;

use super::{
    super::{Documents, Gradients, Halo, Real, Span, StateShape, Tensor},
    Draw,
};

/// A generator for tests (splitmix64): the same numbers from the same seed.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number of the range, ends included.
    pub(super) fn within(&mut self, from: usize, to: usize) -> usize {
        from + (self.next() % (to - from + 1) as u64) as usize
    }

    /// A standard normal number that f32 holds exactly.
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        f64::from((radius * (std::f64::consts::TAU * self.unit()).cos()) as f32)
    }

    pub(super) fn normals(&mut self, len: usize) -> Vec<f64> {
        (0..len).map(|_| self.normal()).collect()
    }
}

/// How large a case may be.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Size {
    /// So few tokens that each element can be moved alone.
    Tiny,
    /// Some chunks.
    Chunks,
}

/// A packed sequence with its tensors, the span that is looked at, and all that comes to its ends.
pub(super) struct Case<T> {
    pub(super) seed: u64,
    pub(super) documents: Documents,
    pub(super) own: Range<usize>,
    pub(super) inputs: Vec<Vec<T>>,
    pub(super) params: Vec<Vec<T>>,
    pub(super) states: Vec<T>,
    pub(super) d_out: Vec<T>,
    pub(super) d_states: Vec<T>,
    widths: Vec<usize>,
    halo: Halo,
}

/// What a family is in numbers.
pub(super) struct Shapes {
    pub(super) inputs: Vec<Tensor>,
    pub(super) params: Vec<Tensor>,
    pub(super) output_width: usize,
    pub(super) halo: Halo,
    pub(super) states: Vec<StateShape>,
    pub(super) adjoint_states: Vec<StateShape>,
}

fn documents(random: &mut Random, size: Size) -> Documents {
    let count = random.within(1, if size == Size::Tiny { 2 } else { 4 });
    Documents::of_lengths((0..count).map(|_| match (size, random.within(0, 4)) {
        (Size::Tiny, _) => random.within(1, 6),
        (Size::Chunks, 0) => 64 * random.within(1, 2),
        (Size::Chunks, 1) => random.within(1, 3),
        (Size::Chunks, _) => random.within(1, 150),
    }))
}

/// A case from a seed: often a whole packed sequence, as often a part that states come into.
pub(super) fn case(shapes: &Shapes, draw: Draw, seed: u64, size: Size) -> Case<f64> {
    any_case(shapes, draw, seed, size, true)
}

/// A case from a seed that is a whole packed sequence.
pub(super) fn whole_case(shapes: &Shapes, draw: Draw, seed: u64, size: Size) -> Case<f64> {
    any_case(shapes, draw, seed, size, false)
}

fn any_case(shapes: &Shapes, draw: Draw, seed: u64, size: Size, parts: bool) -> Case<f64> {
    let mut random = Random::new(seed);
    let documents = documents(&mut random, size);
    let tokens = documents.tokens();
    let own = match random.within(0, 1) {
        0 => 0..tokens,
        _ if !parts => 0..tokens,
        _ => {
            let from = random.within(0, tokens - 1);
            from..random.within(from + 1, tokens)
        }
    };
    // Rounded again after drawing, so that both precisions compute with the same numbers.
    let mut drawn =
        |name: &str, len: usize| -> Vec<f64> { (0..len).map(|_| f64::from(draw(name, random.normal()) as f32)).collect() };
    let rows = rows(&own, shapes.halo, tokens);
    let inputs = shapes.inputs.iter().map(|tensor| drawn(tensor.name, rows.len() * tensor.width)).collect();
    let params = shapes.params.iter().map(|tensor| drawn(tensor.name, tensor.width)).collect();
    let states = drawn("state", shapes.states.iter().map(StateShape::state_len).sum());
    Case {
        seed,
        documents,
        inputs,
        params,
        states,
        d_out: random.normals(own.len() * shapes.output_width),
        d_states: random.normals(shapes.adjoint_states.iter().map(StateShape::state_len).sum()),
        own,
        widths: shapes.inputs.iter().map(|tensor| tensor.width).collect(),
        halo: shapes.halo,
    }
}

fn rows(own: &Range<usize>, halo: Halo, tokens: usize) -> Range<usize> {
    own.start.saturating_sub(halo.left)..(own.end + halo.right).min(tokens)
}

impl<T: Real> Case<T> {
    /// The rows that inputs hold.
    pub(super) fn rows(&self) -> Range<usize> {
        rows(&self.own, self.halo, self.documents.tokens())
    }

    pub(super) fn whole(&self) -> Span<'_, T> {
        self.part(self.own.clone())
    }

    /// The span of one rank, with its neighbours' rows around it.
    pub(super) fn part(&self, own: Range<usize>) -> Span<'_, T> {
        let (all, rows) = (self.rows(), rows(&own, self.halo, self.documents.tokens()));
        let inputs = self.inputs.iter().zip(&self.widths);
        Span {
            documents: &self.documents,
            inputs: inputs.map(|(data, width)| &data[(rows.start - all.start) * width..(rows.end - all.start) * width]).collect(),
            params: self.params.iter().map(Vec::as_slice).collect(),
            rows,
            own,
        }
    }

    /// Adds the gradients of one rank, its neighbours' rows too, to those of the whole.
    pub(super) fn add_gradients(&self, whole: &mut Gradients<T>, rows: &Range<usize>, part: &Gradients<T>) {
        let start = rows.start - self.rows().start;
        for ((whole, part), width) in whole.inputs.iter_mut().zip(&part.inputs).zip(&self.widths) {
            whole[start * width..].iter_mut().zip(part).for_each(|(whole, &part)| *whole += part);
        }
        for (whole, part) in whole.params.iter_mut().zip(&part.params) {
            whole.iter_mut().zip(part).for_each(|(whole, &part)| *whole += part);
        }
    }

    /// The rows of the gradient of outputs that belong to some of the tokens.
    pub(super) fn d_out_of(&self, own: &Range<usize>) -> &[T] {
        let width = self.d_out.len() / self.own.len().max(1);
        &self.d_out[(own.start - self.own.start) * width..(own.end - self.own.start) * width]
    }

    /// Cuts the span into 1 to 8 ranks, some of them empty, some of one token.
    pub(super) fn ranks(&self, random: &mut Random) -> Vec<Range<usize>> {
        let mut cuts: Vec<usize> = (1..random.within(1, 8)).map(|_| random.within(self.own.start, self.own.end)).collect();
        if let (Some(&cut), 0) = (cuts.first(), random.within(0, 2)) {
            cuts.extend([cut, (cut + 1).min(self.own.end)]);
            cuts.truncate(7);
        }
        cuts.extend([self.own.start, self.own.end]);
        cuts.sort_unstable();
        cuts.windows(2).map(|pair| pair[0]..pair[1]).collect()
    }

    /// The same numbers in another precision.
    pub(super) fn cast<U: Real>(&self) -> Case<U> {
        let cast = |tensor: &Vec<T>| tensor.iter().map(|&x| U::of(x.to_f64())).collect::<Vec<U>>();
        Case {
            seed: self.seed,
            documents: self.documents.clone(),
            own: self.own.clone(),
            inputs: self.inputs.iter().map(cast).collect(),
            params: self.params.iter().map(cast).collect(),
            states: cast(&self.states),
            d_out: cast(&self.d_out),
            d_states: cast(&self.d_states),
            widths: self.widths.clone(),
            halo: self.halo,
        }
    }
}
