//! Layers with a state, over ranks: LASP-2 for every [`Mixer`], forward and backward.
//!
//! ```text
//! forward    rows of neighbours ─► summarize ─► maps travel ┐
//!                                  forward … carry ◄────────┘ … outputs
//! backward   adjoint ─► maps travel ┐
//!            backward … carry ◄─────┘ … gradients ─► those of neighbours' rows to their owners
//! ```

use braid_kernels::attention::{Gradients, Mixer, Real};
use bytemuck::Pod;

use super::{
    ParallelError, SequenceGroup, Shard,
    halo::{Loans, Neighbours},
    shard::Shapes,
    states::States,
};

/// What a rank has after a layer with a state.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixed<T> {
    /// The outputs of its own tokens: tokens × output width.
    pub out: Vec<T>,
    /// The states after its last token, one after the other as [`Mixer::states`] names them; for reverse ones, those after its
    /// first. On a rank without tokens they mean nothing.
    pub states: Vec<T>,
    /// What backward needs beside the inputs.
    pub kept: KeptStates<T>,
}

/// What backward needs of a forward pass: the states that came in and the neighbours' rows. Both independent of the length.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptStates<T> {
    states: Vec<T>,
    neighbours: Neighbours<T>,
}

fn shapes<T: Real>(group: &SequenceGroup<'_>, mixer: &dyn Mixer<T>) -> Shapes {
    Shapes {
        rank: group.rank(),
        family: mixer.name(),
        tokens: group.layout.own(group.rank()).len(),
        inputs: mixer.inputs(),
        params: mixer.params(),
        output_width: mixer.output_width(),
    }
}

impl SequenceGroup<'_> {
    /// A layer forward. On one rank, and where no document is cut, nothing is sent; without a halo no input is copied.
    ///
    /// # Errors
    /// Those of the exchange, and tensors that the family cannot read.
    pub fn forward<T: Real + Pod>(&self, mixer: &dyn Mixer<T>, shard: &Shard<'_, T>) -> Result<Mixed<T>, ParallelError> {
        let shapes = shapes(self, mixer);
        self.or_abort(shapes.check(shard))?;
        let loans = Loans::new(self.layout, self.rank(), mixer.halo());
        let neighbours = loans.fetch(self.exchange, &shapes.inputs, &shard.inputs)?;
        let inputs = neighbours.around(&shard.inputs);
        let span = self.span(&loans, &inputs, shard);

        let states = States::new(self.exchange, self.layout, mixer.states());
        let (mut out, mut before) = (vec![T::ZERO; span.len() * mixer.output_width()], states.empty());
        let work = |carry: &mut dyn FnMut(&mut [T])| {
            let mut noted = |given: &mut [T]| {
                carry(given);
                before.copy_from_slice(given);
            };
            mixer.forward(&span, &mut noted, &mut out)
        };
        let after = states.carried(self.method, |maps| mixer.summarize(&span, maps), work)?;
        drop(inputs);
        Ok(Mixed { out, states: after, kept: KeptStates { states: before, neighbours } })
    }

    /// The same layer backward: the gradients of this rank's rows, and what its tokens have for the parameters. The latter are left
    /// as they are: whoever trains adds those of all layers over all ranks at once.
    ///
    /// # Errors
    /// Those of the exchange, and tensors that the family cannot read.
    pub fn backward<T: Real + Pod>(
        &self,
        mixer: &dyn Mixer<T>,
        shard: &Shard<'_, T>,
        kept: &KeptStates<T>,
        d_out: &[T],
    ) -> Result<Gradients<T>, ParallelError> {
        let shapes = shapes(self, mixer);
        self.or_abort(shapes.check(shard).and_then(|()| shapes.check_d_out(d_out)))?;
        let loans = Loans::new(self.layout, self.rank(), mixer.halo());
        let inputs = kept.neighbours.around(&shard.inputs);
        let span = self.span(&loans, &inputs, shard);

        let mut gradients = Gradients::zeros(&span);
        let states = States::new(self.exchange, self.layout, mixer.adjoint_states());
        let adjoint = |maps: &mut [T]| mixer.adjoint(&span, &kept.states, d_out, maps);
        states.carried(self.method, adjoint, |carry| mixer.backward(&span, &kept.states, d_out, carry, &mut gradients))?;
        loans.give_back(self.exchange, &shapes.inputs, &mut gradients.inputs)?;
        Ok(gradients)
    }
}
