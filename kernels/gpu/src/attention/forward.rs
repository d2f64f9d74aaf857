//! Outputs, and the state after the tokens.

use braid_kernels::{KernelError, Slice, SliceMut};

use super::shape::{Attention, Cutting, F32, Rule, bytes};
use crate::{
    Argument::{self, Address, Struct, U32},
    GpuError, Kernel, Lane, Place,
    merge::{Call, kind, same_length},
};

/// What both passes put on the device.
pub(super) struct Loaded {
    /// Queries, keys, values, and what the rule takes, as the first arguments of a kernel.
    pub(super) tokens: Vec<Argument>,
    pub(super) q: Place,
    pub(super) k: Place,
    pub(super) heads: Vec<u8>,
    pub(super) cuts: Place,
    pub(super) count: usize,
}

impl Lane {
    /// The outputs of the tokens, tokens × heads × value, and in `state` (heads × key × value) the one after them.
    ///
    /// # Errors
    /// Tensors of other lengths or types; more than 128 key channels; those of the device.
    pub fn attend(&mut self, attention: &Attention<'_>, state: &mut [f32], out: &mut SliceMut<'_>) -> Result<(), GpuError> {
        const NAME: &str = "attention";
        attention.check(state.len())?;
        same_length(NAME, attention.v.len(), out.len())?;
        let to = kind(NAME, out.dtype())?;
        if attention.own.is_empty() {
            return Ok(());
        }
        self.call(|call| {
            let fast = attention.on_tensor_cores();
            let cutting = if fast.is_some() { Cutting::TENSOR_CORES } else { Cutting::PLAIN };
            let loaded = Loaded::new(attention, cutting, call)?;
            let after = call.copy(&bytes(state))?;
            let target = call.room(out.bytes().len())?;
            match fast {
                Some(kernel) => loaded.decay(attention, kernel, after, (target, to), call)?,
                None => loaded.forward(attention, after, None, (target, to), call)?,
            }
            call.fetch(target, out.bytes_mut())?;
            fetch(call, after, state)
        })
    }
}

impl Loaded {
    pub(super) fn new(attention: &Attention<'_>, cutting: Cutting, call: &mut Call<'_>) -> Result<Self, GpuError> {
        let mut put = |slice: &Slice<'_>| call.copy(slice.bytes());
        let (q, k, v) = (put(&attention.q)?, put(&attention.k)?, put(&attention.v)?);
        let mut tokens: Vec<Argument> = vec![q.into(), k.into(), v.into()];
        match attention.rule {
            Rule::Decay(slopes) => tokens.extend([Address(0), call.copy(&bytes(slopes))?.into()]),
            Rule::Gated(gates) => tokens.extend([call.copy(gates.bytes())?.into(), Address(0)]),
            Rule::Delta(betas) => tokens.push(call.copy(betas.bytes())?.into()),
        }
        let (cuts, count) = attention.cuts(cutting);
        Ok(Self { tokens, q, k, heads: attention.struct_of_heads()?, cuts: call.copy(&cuts)?, count })
    }

    /// Queues the pass on tensor cores: no states are saved.
    fn decay(
        &self,
        attention: &Attention<'_>,
        kernel: Kernel,
        state: Place,
        (out, kind): (Place, u32),
        call: &mut Call<'_>,
    ) -> Result<(), GpuError> {
        let [q, k, v, _, slopes] = self.tokens.as_slice() else { return Err(KernelError::Changed.into()) };
        let mut arguments = vec![q.clone(), k.clone(), v.clone(), slopes.clone(), Struct(self.heads.clone())];
        arguments.extend([self.cuts.into(), U32(self.count as u32), state.into(), out.into(), U32(kind)]);
        call.launch(kernel, attention.grid(Cutting::TENSOR_CORES), &arguments)
    }

    /// Queues the pass; `state` becomes the one after it, and `saved` gets that before each chunk.
    pub(super) fn forward(
        &self,
        attention: &Attention<'_>,
        state: Place,
        saved: Option<Place>,
        (out, kind): (Place, u32),
        call: &mut Call<'_>,
    ) -> Result<(), GpuError> {
        let kernel = if matches!(attention.rule, Rule::Delta(_)) { Kernel::DeltaForward } else { Kernel::GatedForward };
        let mut arguments = self.tokens.clone();
        arguments.extend([Struct(self.heads.clone()), self.cuts.into(), U32(self.count as u32), state.into()]);
        arguments.extend([Address(saved.map_or(0, |saved| saved.address)), out.into(), U32(kind)]);
        call.launch(kernel, attention.grid(Cutting::PLAIN), &arguments)
    }
}

pub(super) fn fetch(call: &mut Call<'_>, from: Place, values: &mut [f32]) -> Result<(), GpuError> {
    let mut found = vec![0; values.len() * F32.size()];
    call.fetch(from, &mut found)?;
    for (value, bytes) in values.iter_mut().zip(found.as_chunks::<4>().0) {
        *value = f32::from_le_bytes(*bytes);
    }
    Ok(())
}
