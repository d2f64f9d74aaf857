//! Matching one group and putting its tensors into the order found.

use super::{
    super::{Work, joint::Matrices},
    find::Group,
    units::{Correlations, best_order, correlations, reorder, units},
};
use crate::{MergeError, run::Room};
use braid_kernels::linalg::{Dense, multiply};
use serde_json::{Value, json};

/// One group. The sources of member `i` are `2 i`, of the base, and `2 i + 1`, of the model.
#[derive(Debug)]
pub(super) struct Match {
    pub(super) group: Group,
}

/// What is known of the units of one kind, summed over tensors.
#[derive(Default)]
struct Sums {
    /// ⟨unit of the base, unit of the model⟩ for all pairs.
    products: Dense,
    /// Squared norms.
    base: Vec<f64>,
    model: Vec<f64>,
}

impl Work for Match {
    fn run(&self, room: &Room<'_>) -> Result<Value, MergeError> {
        let (mut outer, mut inner) = (Sums::default(), Sums::default());
        let mut tensors = Vec::new();
        for (index, member) in self.group.members.iter().enumerate() {
            let (base, model) = (room.matrix(2 * index)?, room.matrix(2 * index + 1)?);
            let sums = if member.is_inner { &mut inner } else { &mut outer };
            sums.add(&units(&base, member.axis, member.units), &units(&model, member.axis, member.units));
            tensors.push(model);
        }
        let (order, within) = best_order(outer.products.clone(), &inner.products, self.group.inner);
        for (index, (member, tensor)) in self.group.members.iter().zip(&tensors).enumerate() {
            let order = if member.is_inner { &within } else { &order };
            room.write(index, reorder(tensor, member.axis, order).data())?;
        }
        let moved = |order: &[usize]| order.iter().enumerate().filter(|(to, from)| to != *from).count();
        let mut note = json!({
            "group": self.group.name,
            "units": order.len(),
            "moved": moved(&order) + moved(&within),
            "correlation": outer.told(&order),
        });
        if self.group.inner > 0 {
            note["inner_units"] = within.len().into();
            note["inner_correlation"] = inner.told(&within);
        }
        Ok(note)
    }
}

impl Sums {
    fn add(&mut self, base: &Dense, model: &Dense) {
        let count = base.rows();
        if self.products.rows() == 0 {
            *self = Self { products: Dense::zeros(count, count), base: vec![0.0; count], model: vec![0.0; count] };
        }
        let products = multiply(base.view(), model.t());
        self.products.data_mut().iter_mut().zip(products.data()).for_each(|(sum, product)| *sum += product);
        for (sums, units) in [(&mut self.base, base), (&mut self.model, model)] {
            let norm = |row: usize| units.row(row).iter().map(|&value| f64::from(value).powi(2)).sum::<f64>();
            sums.iter_mut().enumerate().for_each(|(row, sum)| *sum += norm(row));
        }
    }

    fn told(&self, order: &[usize]) -> Value {
        let Correlations { before, after, least, best, taken } = correlations(&self.products, &self.base, &self.model, order);
        json!({ "before": before, "after": after, "least": least, "best_of_any": best, "taken_by_any": taken })
    }
}
