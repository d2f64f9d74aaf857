//! Gradients of what tokens bring and of the state before them, from those of the outputs and of the state after them.

use super::{
    forward::{Loaded, fetch},
    shape::{Attention, Cutting, F32, Rule, bytes},
};
use crate::{
    Argument::{Struct, U32, U64},
    GpuError, Kernel, Lane, Place,
    merge::{Call, same_length},
};

/// The gradients of one span.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionGradients {
    /// Of queries, as they came: scaled.
    pub q: Vec<f32>,
    /// Of keys.
    pub k: Vec<f32>,
    /// Of values.
    pub v: Vec<f32>,
    /// Of what the rule takes: slopes, log gates or betas.
    pub rule: Vec<f32>,
    /// Of the state before the tokens.
    pub state: Vec<f32>,
}

impl Lane {
    /// The gradients. `state` is the one before the tokens, `d_out` the gradient of the outputs, `d_state` that of the state after
    /// them.
    ///
    /// # Errors
    /// As [`Lane::attend`].
    pub fn attend_backward(
        &mut self,
        attention: &Attention<'_>,
        state: &[f32],
        d_out: &[f32],
        d_state: &[f32],
    ) -> Result<AttentionGradients, GpuError> {
        const NAME: &str = "attention";
        attention.check(state.len())?;
        same_length(NAME, attention.v.len(), d_out.len())?;
        same_length(NAME, state.len(), d_state.len())?;
        let (tokens, heads, key, tiles) = (attention.own.len(), attention.heads, attention.key, attention.tiles(Cutting::PLAIN));
        let zeros = |length: usize| vec![0.0; length];
        let own = match attention.rule {
            Rule::Decay(slopes) => slopes.len(),
            Rule::Gated(gates) => gates.len(),
            Rule::Delta(betas) => betas.len(),
        };
        let (q, v) = (attention.q.len(), attention.v.len());
        let mut gradients =
            AttentionGradients { q: zeros(q), k: zeros(q), v: zeros(v), rule: zeros(own), state: d_state.to_vec() };
        if tokens == 0 {
            return Ok(gradients);
        }
        self.call(|call| {
            let loaded = Loaded::new(attention, Cutting::PLAIN, call)?;
            let f32s = |count: usize| count * F32.size();
            let (after, saved) = (call.copy(&bytes(state))?, call.room(f32s(loaded.count * state.len()))?);
            let outputs = call.room(f32s(v))?;
            loaded.forward(attention, after, Some(saved), (outputs, 1), call)?;
            let (d_out, d_after) = (call.copy(&bytes(d_out))?, call.copy(&bytes(d_state))?);
            let [of_q, of_k] = [call.room(f32s(tiles * q))?, call.room(f32s(tiles * q))?];
            let (of_v, of_beta) = (call.room(f32s(v))?, call.room(f32s(tiles * tokens * heads))?);
            let delta = matches!(attention.rule, Rule::Delta(_));
            let mut arguments = loaded.tokens.clone();
            arguments.extend([Struct(loaded.heads.clone()), loaded.cuts.into(), U32(loaded.count as u32), U64(tokens as u64)]);
            arguments.extend([saved.into(), d_out.into(), d_after.into(), of_q.into(), of_k.into(), of_v.into()]);
            arguments.extend(delta.then(|| of_beta.into()));
            let kernel = if delta { Kernel::DeltaBackward } else { Kernel::GatedBackward };
            call.launch(kernel, attention.grid(Cutting::PLAIN), &arguments)?;
            let [d_q, d_k] = [sum(call, of_q, tiles, q)?, sum(call, of_k, tiles, q)?];
            fetch(call, d_q, &mut gradients.q)?;
            fetch(call, d_k, &mut gradients.k)?;
            fetch(call, of_v, &mut gradients.v)?;
            fetch(call, d_after, &mut gradients.state)?;
            if delta {
                let d_beta = sum(call, of_beta, tiles, tokens * heads)?;
                return fetch(call, d_beta, &mut gradients.rule);
            }
            let mut end = zeros(state.len());
            fetch(call, after, &mut end)?;
            let ends: Vec<f32> = end.chunks(attention.value).zip(d_state.chunks(attention.value)).map(product).collect();
            let (ends, d_g) = (call.copy(&bytes(&ends))?, call.room(f32s(q))?);
            let arguments = [
                loaded.q.into(),
                loaded.k.into(),
                d_q.into(),
                d_k.into(),
                Struct(loaded.heads.clone()),
                loaded.cuts.into(),
                U32(loaded.count as u32),
                ends.into(),
                d_g.into(),
            ];
            call.over(Kernel::GateGradients, heads * key, &arguments)?;
            let mut of_gates = zeros(q);
            fetch(call, d_g, &mut of_gates)?;
            match attention.rule {
                // a slope is the gate of all channels and tokens of its head, turned round
                Rule::Decay(_) => {
                    for (head, slope) in gradients.rule.iter_mut().enumerate() {
                        let rows = of_gates.chunks(heads * key).flat_map(|row| &row[head * key..(head + 1) * key]);
                        *slope = -rows.map(|gate| f64::from(*gate)).sum::<f64>() as f32;
                    }
                }
                _ => gradients.rule = of_gates,
            }
            Ok(())
        })?;
        Ok(gradients)
    }
}

/// Σ a·b of a row of a state and of its gradient.
fn product((a, b): (&[f32], &[f32])) -> f32 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() as f32
}

/// The sum of `count` parts of `length` numbers.
fn sum(call: &mut Call<'_>, parts: Place, count: usize, length: usize) -> Result<Place, GpuError> {
    let out = call.room(length * F32.size())?;
    call.over(Kernel::SumParts, length, &[parts.into(), U32(count as u32), U64(length as u64), out.into()])?;
    Ok(out)
}
