//! The exchange over slices of numbers. Nothing is copied: the slice's own bytes are sent and received.

use super::{Exchange, ExchangeError, Pending};
use bytemuck::{Pod, cast_slice, cast_slice_mut};

/// [`Exchange`] for slices of f32, f64 and other plain numbers; lengths are in elements.
pub trait TypedExchange: Exchange {
    /// [`Exchange::all_gather`]: `out` has `size` times the length of `mine`.
    fn all_gather_values<T: Pod>(&self, mine: &[T], out: &mut [T]) -> Result<(), ExchangeError> {
        self.all_gather(cast_slice(mine), cast_slice_mut(out))
    }

    /// [`Exchange::all_gather_varied`]: `lens[r]` elements from rank `r`.
    fn all_gather_values_varied<T: Pod>(&self, mine: &[T], lens: &[usize], out: &mut [T]) -> Result<(), ExchangeError> {
        let lens: Vec<usize> = lens.iter().map(|len| len * size_of::<T>()).collect();
        self.all_gather_varied(cast_slice(mine), &lens, cast_slice_mut(out))
    }

    /// [`Exchange::start_all_gather`]; the end is waited for by [`wait_values`].
    fn start_all_gather_values<T: Pod>(&self, mine: &[T]) -> Result<Box<dyn Pending>, ExchangeError> {
        self.start_all_gather(cast_slice(mine).to_vec())
    }

    /// [`Exchange::broadcast`].
    fn broadcast_values<T: Pod>(&self, root: usize, values: &mut [T]) -> Result<(), ExchangeError> {
        self.broadcast(root, cast_slice_mut(values))
    }

    /// [`Exchange::send`].
    fn send_values<T: Pod>(&self, to: usize, values: &[T]) -> Result<(), ExchangeError> {
        self.send(to, cast_slice(values))
    }

    /// [`Exchange::recv`].
    fn recv_values<T: Pod>(&self, from: usize, values: &mut [T]) -> Result<(), ExchangeError> {
        self.recv(from, cast_slice_mut(values))
    }

    /// [`Exchange::transfer`].
    fn transfer_values<T: Pod>(&self, sends: &[(usize, &[T])], receives: &mut [(usize, &mut [T])]) -> Result<(), ExchangeError> {
        let sends: Vec<(usize, &[u8])> = sends.iter().map(|&(to, values)| (to, cast_slice(values))).collect();
        let mut receives: Vec<(usize, &mut [u8])> =
            receives.iter_mut().map(|(from, values)| (*from, cast_slice_mut(values))).collect();
        self.transfer(&sends, &mut receives)
    }
}

impl<E: Exchange + ?Sized> TypedExchange for E {}

/// Waits for a gather of numbers: `out` is the concatenation in rank order.
///
/// # Errors
/// As [`Pending::wait_into`].
pub fn wait_values<T: Pod>(pending: Box<dyn Pending>, out: &mut [T]) -> Result<(), ExchangeError> {
    pending.wait_into(cast_slice_mut(out))
}
