//! Layers without a state, over ranks: LASP-2H's gather of keys and values, and Combiner's of summaries, for every [`Gathered`].

use braid_kernels::attention::{Gathered, Gradients, Real, Span};
use bytemuck::Pod;

use super::{
    ParallelError, SequenceGroup, Shard,
    contributions::Contributions,
    halo::{Loans, Neighbours},
    shard::Shapes,
};

/// What a rank has after a layer whose ranks gather contributions.
#[derive(Debug, Clone, PartialEq)]
pub struct Attended<T> {
    /// The outputs of its own tokens: tokens × output width.
    pub out: Vec<T>,
    /// What backward needs beside the inputs.
    pub kept: KeptContributions<T>,
}

/// What backward needs of a forward pass: the neighbours' rows, and the contributions of all.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptContributions<T> {
    neighbours: Neighbours<T>,
    shared: Option<Vec<T>>,
}

impl<T> KeptContributions<T> {
    /// Forgets the contributions, which are as long as the sequence: backward gathers them once more. All ranks do, or none.
    #[must_use]
    pub fn to_gather_again(self) -> Self {
        Self { shared: None, ..self }
    }
}

fn shapes<T: Real>(group: &SequenceGroup<'_>, family: &dyn Gathered<T>) -> Shapes {
    Shapes {
        rank: group.rank(),
        family: family.name(),
        tokens: group.layout.own(group.rank()).len(),
        inputs: family.inputs(),
        params: family.params(),
        output_width: family.output_width(),
    }
}

impl SequenceGroup<'_> {
    /// A layer forward. On one rank, and where no document is cut, nothing is sent; without a halo no input is copied.
    ///
    /// # Errors
    /// Those of the exchange, and tensors that the family cannot read.
    pub fn forward_gathered<T: Real + Pod>(
        &self,
        family: &dyn Gathered<T>,
        shard: &Shard<'_, T>,
    ) -> Result<Attended<T>, ParallelError> {
        let shapes = shapes(self, family);
        self.or_abort(shapes.check(shard))?;
        let loans = Loans::new(self.layout, self.rank(), family.halo());
        let neighbours = loans.fetch(self.exchange, &shapes.inputs, &shard.inputs)?;
        let inputs = neighbours.around(&shard.inputs);
        let span = self.span(&loans, &inputs, shard);

        let shared = self.contributions(family).gather(self.exchange, family.contribute(&span))?;
        let mut out = vec![T::ZERO; span.len() * family.output_width()];
        family.forward(&span, &shared, &mut out);
        drop(inputs);
        Ok(Attended { out, kept: KeptContributions { neighbours, shared: Some(shared) } })
    }

    /// The same layer backward: the gradients of this rank's rows, and what its tokens have for the parameters, which whoever trains
    /// adds over ranks.
    ///
    /// # Errors
    /// Those of the exchange, and tensors that the family cannot read.
    pub fn backward_gathered<T: Real + Pod>(
        &self,
        family: &dyn Gathered<T>,
        shard: &Shard<'_, T>,
        kept: &KeptContributions<T>,
        d_out: &[T],
    ) -> Result<Gradients<T>, ParallelError> {
        let shapes = shapes(self, family);
        self.or_abort(shapes.check(shard).and_then(|()| shapes.check_d_out(d_out)))?;
        let loans = Loans::new(self.layout, self.rank(), family.halo());
        let inputs = kept.neighbours.around(&shard.inputs);
        let span = self.span(&loans, &inputs, shard);

        let again;
        let contributions = self.contributions(family);
        let shared = match &kept.shared {
            Some(shared) => shared,
            None => {
                again = contributions.gather(self.exchange, family.contribute(&span))?;
                &again
            }
        };
        let (mut gradients, mut d_shared) = (Gradients::zeros(&span), vec![T::ZERO; contributions.total()]);
        family.backward(&span, shared, d_out, &mut d_shared, &mut gradients);
        let d_own = contributions.scatter(self.exchange, d_shared)?;
        family.contribute_backward(&span, &d_own, &mut gradients);
        loans.give_back(self.exchange, &shapes.inputs, &mut gradients.inputs)?;
        Ok(gradients)
    }

    fn contributions<T: Real>(&self, family: &dyn Gathered<T>) -> Contributions {
        let halo = family.halo();
        // The length of a contribution depends on the layout alone.
        let len_of = |rank| {
            let (rows, own) = (self.layout.rows(rank, halo), self.layout.own(rank));
            family.contribution_len(&Span { documents: self.layout.documents(), rows, own, inputs: vec![], params: vec![] })
        };
        Contributions::new(self.layout, self.rank(), len_of)
    }
}
