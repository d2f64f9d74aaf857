//! A linear or integer program in numbers, as every solver takes it.

use super::{NewColumn, NoAnswer};

/// Columns and rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Model {
    columns: Vec<Column>,
    rows: Vec<Row>,
}

/// A variable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Column {
    /// Of one unit.
    pub cost: f64,
    /// Not below; may be infinite.
    pub lower: f64,
    /// Not above; may be infinite.
    pub upper: f64,
    /// No fractions.
    pub whole: bool,
}

/// A constraint.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Not below; may be infinite.
    pub lower: f64,
    /// Not above; may be infinite.
    pub upper: f64,
    /// `(column, coefficient)`, each column once.
    pub entries: Vec<(usize, f64)>,
}

impl Column {
    /// A fraction or more between two bounds.
    pub fn between(cost: f64, lower: f64, upper: f64) -> Self {
        Self { cost, lower, upper, whole: false }
    }

    /// The same, without fractions.
    pub fn whole(self) -> Self {
        Self { whole: true, ..self }
    }
}

impl Row {
    /// A sum that is not above `upper`.
    pub fn at_most(upper: f64, entries: Vec<(usize, f64)>) -> Self {
        Self { lower: f64::NEG_INFINITY, upper, entries }
    }

    /// A sum that is not below `lower`.
    pub fn at_least(lower: f64, entries: Vec<(usize, f64)>) -> Self {
        Self { lower, upper: f64::INFINITY, entries }
    }

    /// A sum.
    pub fn equal(to: f64, entries: Vec<(usize, f64)>) -> Self {
        Self { lower: to, upper: to, entries }
    }
}

impl Model {
    /// Adds a column, and says which it is.
    pub fn column(&mut self, column: Column) -> usize {
        self.columns.push(column);
        self.columns.len() - 1
    }

    /// Adds a row, and says which it is.
    pub fn row(&mut self, row: Row) -> usize {
        self.rows.push(row);
        self.rows.len() - 1
    }

    /// Adds a column to rows that are there. Rows that are not are passed over.
    pub fn push_with(&mut self, new: NewColumn) {
        let column = self.column(new.column);
        for (row, coefficient) in new.entries {
            if let Some(row) = self.rows.get_mut(row) {
                row.entries.push((column, coefficient));
            }
        }
    }

    /// The columns, in the order in which they came.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The rows, in the order in which they came.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Whether any column has to be whole.
    pub fn is_whole(&self) -> bool {
        self.columns.iter().any(|column| column.whole)
    }

    /// What values cost.
    pub fn objective(&self, values: &[f64]) -> f64 {
        self.columns.iter().zip(values).map(|(column, value)| column.cost * value).sum()
    }

    /// By how much values miss a row, a bound or a whole number, at worst.
    pub fn violation(&self, values: &[f64]) -> f64 {
        let missed = |value: f64, lower: f64, upper: f64| (lower - value).max(value - upper).max(0.0);
        let columns = self.columns.iter().zip(values).map(|(column, value)| {
            let fraction = if column.whole { (value - value.round()).abs() } else { 0.0 };
            fraction.max(missed(*value, column.lower, column.upper))
        });
        let rows = self.rows.iter().map(|row| {
            let terms = row.entries.iter().map(|(column, coefficient)| coefficient * values.get(*column).unwrap_or(&f64::NAN));
            missed(terms.sum(), row.lower, row.upper)
        });
        columns.chain(rows).fold(0.0, f64::max)
    }

    /// Makes every answer as good as any other.
    #[cfg(feature = "highs")]
    pub(super) fn drop_costs(&mut self) {
        self.columns.iter_mut().for_each(|column| column.cost = 0.0);
    }

    /// Checks what no solver is to be asked.
    ///
    /// # Errors
    /// [`NoAnswer::Malformed`], or [`NoAnswer::Infeasible`] where two bounds cross.
    pub(super) fn check(&self) -> Result<(), NoAnswer> {
        let malformed = |what: String| Err(NoAnswer::Malformed(what));
        let bounds = self.columns.iter().map(|column| ("column", column.lower, column.upper));
        let bounds = bounds.chain(self.rows.iter().map(|row| ("row", row.lower, row.upper)));
        for (at, (what, lower, upper)) in bounds.enumerate() {
            if lower.is_nan() || upper.is_nan() || lower == f64::INFINITY || upper == f64::NEG_INFINITY {
                let at = if what == "row" { at - self.columns.len() } else { at };
                return malformed(format!("{what} {at} lies between {lower} and {upper}"));
            }
        }
        if let Some(at) = self.columns.iter().position(|column| !column.cost.is_finite()) {
            return malformed(format!("column {at} costs {}", self.columns[at].cost));
        }
        let mut last = vec![None; self.columns.len()];
        for (at, row) in self.rows.iter().enumerate() {
            for &(column, coefficient) in &row.entries {
                match last.get_mut(column) {
                    None => return malformed(format!("row {at} names column {column} of {}", self.columns.len())),
                    Some(_) if !coefficient.is_finite() => {
                        return malformed(format!("row {at} has {coefficient} for column {column}"));
                    }
                    Some(last) if *last == Some(at) => return malformed(format!("row {at} names column {column} twice")),
                    Some(last) => *last = Some(at),
                }
            }
        }
        let crossed = self.columns.iter().any(|column| column.lower > column.upper);
        if crossed || self.rows.iter().any(|row| row.lower > row.upper) { Err(NoAnswer::Infeasible) } else { Ok(()) }
    }
}
