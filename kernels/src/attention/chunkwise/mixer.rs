//! The delegations that make a family a mixer. A blanket implementation would meet those of other families.

/// Makes a [`Family`](super::Family) a [`Mixer`](super::super::Mixer) by its rule.
macro_rules! chunkwise {
    ($family:ty, $rule:ty) => {
        const _: () = {
            use $crate::attention::{
                Carry, Direction, Gradients, Mixer, Real, Span, StateShape, Tensor,
                chunkwise::{Chunkwise, Family, driver},
            };
            impl<T: Real> Chunkwise<T> for $family {
                type Rule = $rule;
            }

            impl<T: Real> Mixer<T> for $family {
                fn name(&self) -> &'static str {
                    Family::<T>::name(self)
                }

                fn inputs(&self) -> Vec<Tensor> {
                    Family::<T>::inputs(self)
                }

                fn params(&self) -> Vec<Tensor> {
                    Family::<T>::params(self)
                }

                fn output_width(&self) -> usize {
                    driver::output_width::<T>(self)
                }

                fn states(&self) -> Vec<StateShape> {
                    vec![driver::shape::<T, Self>(self, Direction::Forward)]
                }

                fn adjoint_states(&self) -> Vec<StateShape> {
                    vec![driver::shape::<T, Self>(self, Direction::Reverse)]
                }

                fn summarize(&self, span: &Span<'_, T>, map: &mut [T]) {
                    driver::summarize(self, span, map);
                }

                fn forward(&self, span: &Span<'_, T>, carry: Carry<'_, T>, out: &mut [T]) -> Vec<T> {
                    driver::forward(self, span, carry, out)
                }

                fn recurrent(&self, span: &Span<'_, T>, states: &mut [T], out: &mut [T]) {
                    driver::recurrent(self, span, states, out);
                }

                fn adjoint(&self, span: &Span<'_, T>, states: &[T], d_out: &[T], map: &mut [T]) {
                    driver::adjoint(self, span, states, d_out, map);
                }

                fn backward(
                    &self,
                    span: &Span<'_, T>,
                    states: &[T],
                    d_out: &[T],
                    carry: Carry<'_, T>,
                    gradients: &mut Gradients<T>,
                ) -> Vec<T> {
                    driver::backward(self, span, states, d_out, carry, gradients)
                }
            }
        };
    };
}
pub(crate) use chunkwise;
