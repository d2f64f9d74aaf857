//! The inputs of a tile by number, wherever they lie, and the arithmetic that is done there. Whoever works with them sees no bytes.
//!
//! ```text
//!   here     slices of this process' memory: arithmetic wherever [`Arithmetic`] does it
//!   there    memory of a device that has read them from files by itself: arithmetic on that device, or an error
//! ```

use std::cell::RefCell;

use braid_kernels::{Combine, Dots, Gram, Keep, KernelError, L1, Part, Pass, Slice, SliceMut, Source, TaskVector};

use crate::{
    Arithmetic, ChainingValue, GpuError,
    merge::{Call, Difference, Operand, Term},
};

/// The inputs of a tile.
pub struct Inputs<'a>(Where<'a>);

enum Where<'a> {
    Here { arithmetic: &'a Arithmetic, slices: &'a [Slice<'a>] },
    There(RefCell<Resident<'a>>),
}

/// Inputs on a device.
struct Resident<'a> {
    call: Call<'a>,
    operands: Vec<Operand>,
    /// Why the device could not do what it was asked for.
    problem: Option<GpuError>,
}

/// The part of one input in a combination of task vectors: a [`TaskVector`] by number.
#[derive(Debug, Clone, Copy)]
pub struct Expert<'a> {
    /// Which input.
    pub input: usize,
    /// Which elements of its difference stay.
    pub keep: Keep<'a>,
    /// Makes up for what was dropped.
    pub scale: f32,
    /// Its weight.
    pub weight: f32,
}

impl<'a> Inputs<'a> {
    /// Those that lie in this process' memory.
    pub fn here(arithmetic: &'a Arithmetic, slices: &'a [Slice<'a>]) -> Self {
        Self(Where::Here { arithmetic, slices })
    }

    /// Those that lie on the device of `call`.
    pub(crate) fn there(call: Call<'a>, operands: Vec<Operand>) -> Self {
        Self(Where::There(RefCell::new(Resident { call, operands, problem: None })))
    }

    /// Ends the call, if it is one: what was wrong with the device.
    pub(crate) fn end(self) -> Option<GpuError> {
        match self.0 {
            Where::Here { .. } => None,
            Where::There(resident) => {
                let Resident { call, problem, .. } = resident.into_inner();
                call.end();
                problem
            }
        }
    }

    /// The sum of some inputs with a weight for each: [`braid_kernels::linear`].
    ///
    /// # Errors
    /// As there, and for a number that no input has.
    pub fn linear(&self, terms: &[(usize, f32)], divisor: f32, out: &mut SliceMut<'_>) -> Result<(), KernelError> {
        let weights: Vec<f32> = terms.iter().map(|(_, weight)| *weight).collect();
        let inputs = terms.iter().map(|(input, _)| *input);
        match &self.0 {
            Where::Here { arithmetic, slices } => arithmetic.linear(&all(slices, inputs)?, &weights, divisor, out),
            Where::There(resident) => resident.borrow_mut().ask(|call, operands| {
                let inputs = all(operands, inputs)?;
                call.linear(&inputs, &weights, divisor, out)
            }),
        }
    }

    /// A base and a combination of what stays of differences to it: [`braid_kernels::task_vectors`].
    ///
    /// # Errors
    /// As [`Inputs::linear`].
    pub fn task_vectors(
        &self,
        base: usize,
        experts: &[Expert<'_>],
        combine: &Combine,
        out: &mut SliceMut<'_>,
    ) -> Result<(), KernelError> {
        match &self.0 {
            Where::Here { arithmetic, slices } => {
                let terms = experts.iter().map(|&Expert { input, keep, scale, weight }| {
                    Ok(TaskVector { theta: one(slices, input)?, keep, scale, weight })
                });
                let terms = terms.collect::<Result<Vec<_>, KernelError>>()?;
                arithmetic.task_vectors(&one(slices, base)?, &terms, combine, out)
            }
            Where::There(resident) => resident.borrow_mut().ask(|call, operands| {
                let terms = experts
                    .iter()
                    .map(|&Expert { input, keep, scale, weight }| Ok(Term { theta: one(operands, input)?, keep, scale, weight }));
                let terms = terms.collect::<Result<Vec<_>, KernelError>>()?;
                call.task_vectors(one(operands, base)?, &terms, combine, out)
            }),
        }
    }

    /// The inner products of two inputs, granule by granule: [`braid_kernels::dots`].
    ///
    /// # Errors
    /// As [`Inputs::linear`].
    pub fn dots(&self, a: usize, b: usize) -> Result<Vec<Dots>, KernelError> {
        match &self.0 {
            Where::Here { arithmetic, slices } => arithmetic.dots(&one(slices, a)?, &one(slices, b)?),
            Where::There(resident) => resident.borrow_mut().ask(|call, operands| call.dots(one(operands, a)?, one(operands, b)?)),
        }
    }

    /// The inner products of all pairs of some inputs, or of their differences to a base: [`braid_kernels::gram`].
    ///
    /// # Errors
    /// As [`Inputs::linear`].
    pub fn gram(&self, base: Option<usize>, inputs: &[usize]) -> Result<Vec<Gram>, KernelError> {
        let inputs = inputs.iter().copied();
        match &self.0 {
            Where::Here { arithmetic, slices } => {
                let base = base.map(|base| one(slices, base)).transpose()?;
                arithmetic.gram(base.as_ref(), &all(slices, inputs)?)
            }
            Where::There(resident) => resident.borrow_mut().ask(|call, operands| {
                let base = base.map(|base| one(operands, base)).transpose()?;
                call.gram(base.as_ref(), &all(operands, inputs)?)
            }),
        }
    }

    /// The L1 norms of a task vector, granule by granule: [`braid_kernels::l1`].
    ///
    /// # Errors
    /// As [`Inputs::linear`].
    pub fn l1(&self, base: usize, theta: usize, keep: Keep<'_>) -> Result<Vec<L1>, KernelError> {
        match &self.0 {
            Where::Here { arithmetic, slices } => arithmetic.l1(&one(slices, base)?, &one(slices, theta)?, keep),
            Where::There(resident) => {
                resident.borrow_mut().ask(|call, operands| call.l1(one(operands, base)?, one(operands, theta)?, keep))
            }
        }
    }

    /// Passes over task vectors, each the difference of the second of two inputs to the first: [`braid_kernels::measure_sources`]. The
    /// tile begins with element `first`.
    ///
    /// # Errors
    /// As [`Inputs::linear`].
    pub fn measure(&self, vectors: &[((usize, usize), Vec<&Pass>)], first: u64) -> Result<Vec<Part>, KernelError> {
        match &self.0 {
            Where::Here { arithmetic, slices } => {
                let sources = vectors.iter().map(|&((base, theta), ref passes)| {
                    Ok((Source::Difference { base: one(slices, base)?, theta: one(slices, theta)? }, passes.clone()))
                });
                let sources = sources.collect::<Result<Vec<_>, KernelError>>()?;
                arithmetic.measure(&sources, first)
            }
            Where::There(resident) => resident.borrow_mut().ask(|call, operands| {
                let vectors = vectors.iter().map(|&((base, theta), ref passes)| {
                    Ok((Difference::of(one(operands, base)?, one(operands, theta)?)?, passes.clone()))
                });
                let vectors = vectors.collect::<Result<Vec<_>, GpuError>>()?;
                call.measure(&vectors)
            }),
        }
    }

    /// The chaining values of an input that lies on a device, as [`Lane::chaining_values`](crate::Lane::chaining_values) has them; of one
    /// that lies here none, as it can be hashed here.
    ///
    /// # Errors
    /// As [`Inputs::linear`].
    pub fn chaining_values(&self, input: usize, offset: u64) -> Result<Option<Vec<ChainingValue>>, KernelError> {
        match &self.0 {
            Where::Here { .. } => Ok(None),
            Where::There(resident) => {
                resident.borrow_mut().ask(|call, operands| call.chaining_values(one(operands, input)?.place, offset)).map(Some)
            }
        }
    }
}

impl Resident<'_> {
    /// What the device answers. What is wrong with it is kept for [`Inputs::end`], and whoever asked sees some error.
    fn ask<R>(&mut self, work: impl FnOnce(&mut Call<'_>, &[Operand]) -> Result<R, GpuError>) -> Result<R, KernelError> {
        work(&mut self.call, &self.operands).map_err(|error| match error {
            GpuError::Kernel(error) => error,
            problem => {
                self.problem = Some(problem);
                KernelError::Changed
            }
        })
    }
}

/// One of the inputs.
fn one<T: Copy>(inputs: &[T], input: usize) -> Result<T, KernelError> {
    let missing = || KernelError::OutOfRange { first: input, end: input + 1, length: inputs.len() };
    inputs.get(input).copied().ok_or_else(missing)
}

/// Some of them.
fn all<T: Copy>(inputs: &[T], which: impl Iterator<Item = usize>) -> Result<Vec<T>, KernelError> {
    which.map(|input| one(inputs, input)).collect()
}
