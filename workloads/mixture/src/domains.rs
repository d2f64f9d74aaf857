//! The names of the data groups that are mixed, in the order that everything else keeps. Not their data.

use crate::{MixtureError, Proportions};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Names of domains: at least one, none empty, no two alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Domains(Vec<String>);

impl Domains {
    /// Checks names.
    ///
    /// # Errors
    /// No name, an empty one, or one that comes twice.
    pub fn new<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Result<Self, MixtureError> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        if names.is_empty() {
            return Err(MixtureError::Domains("there is none".into()));
        }
        for (index, name) in names.iter().enumerate() {
            if name.trim().is_empty() {
                return Err(MixtureError::Domains(format!("number {} has no name", index + 1)));
            }
            if names.iter().take(index).any(|earlier| earlier == name) {
                return Err(MixtureError::Domains(format!("{name} is there twice")));
            }
        }
        Ok(Self(names))
    }

    /// How many there are: at least one.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The names in order.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// The name of one domain; a number where there is no such domain.
    pub fn name(&self, index: usize) -> String {
        self.0.get(index).cloned().unwrap_or_else(|| format!("number {index}"))
    }

    /// Where a domain is.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|own| own == name)
    }

    /// That something has one entry a domain.
    ///
    /// # Errors
    /// [`MixtureError::Entries`] otherwise, with `what` in its text.
    pub fn check_len(&self, what: &str, found: usize) -> Result<(), MixtureError> {
        if found == self.len() { Ok(()) } else { Err(MixtureError::Entries { what: what.into(), expected: self.len(), found }) }
    }

    /// Brings pairs of name and value into this order.
    ///
    /// # Errors
    /// [`MixtureError::Disagree`] when a name is missing, unknown or there twice.
    pub fn arrange<T>(&self, what: &str, pairs: impl IntoIterator<Item = (String, T)>) -> Result<Vec<T>, MixtureError> {
        let (found, values): (Vec<String>, Vec<T>) = pairs.into_iter().unzip();
        let mut slots: Vec<Option<T>> = self.0.iter().map(|_| None).collect();
        let mut agree = found.len() == self.len();
        for (name, value) in found.iter().zip(values) {
            match self.position(name).and_then(|index| slots.get_mut(index)) {
                Some(slot) if slot.is_none() => *slot = Some(value),
                _ => agree = false,
            }
        }
        let arranged: Option<Vec<T>> = slots.into_iter().collect();
        arranged.filter(|_| agree).ok_or_else(|| MixtureError::Disagree {
            what: what.into(),
            expected: self.0.clone(),
            found: if found.is_empty() { vec!["none".into()] } else { found },
        })
    }

    /// Proportions by name, as people and trainers read them.
    pub fn label(&self, proportions: &Proportions) -> Map<String, Value> {
        self.0.iter().cloned().zip(proportions.iter().map(Value::from)).collect()
    }
}

impl TryFrom<Vec<String>> for Domains {
    type Error = MixtureError;

    fn try_from(names: Vec<String>) -> Result<Self, MixtureError> {
        Self::new(names)
    }
}

impl From<Domains> for Vec<String> {
    fn from(domains: Domains) -> Self {
        domains.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(names: &[&str]) -> String {
        Domains::new(names.iter().copied()).unwrap_err().to_string()
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(text(&[]), "domains: there is none");
        assert_eq!(text(&["a", " "]), "domains: number 2 has no name");
        assert_eq!(text(&["a", "b", "a"]), "domains: a is there twice");
    }

    #[test]
    fn values_come_by_name_in_any_order() {
        let domains = Domains::new(["a", "b"]).unwrap();
        let pairs = |names: &[&str]| names.iter().enumerate().map(|(i, n)| (n.to_string(), i)).collect::<Vec<_>>();
        assert_eq!(domains.arrange("report", pairs(&["b", "a"])).unwrap(), [1, 0]);
        for wrong in [&["a"][..], &["a", "c"], &["a", "a"], &["a", "b", "c"], &["a", "b", "b"], &[]] {
            assert!(domains.arrange("report", pairs(wrong)).is_err(), "{wrong:?}");
        }
        assert_eq!(
            domains.arrange("the trainer's report", pairs(&["a", "c"])).unwrap_err().to_string(),
            "the trainer's report: expected the domains a, b, found a, c"
        );
    }
}
