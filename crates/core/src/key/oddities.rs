//! What a live record keeps beyond the fields the engine knows: their order, fields of a caller's own, odd values.

use serde_json::{Map, Value};

/// The fields that make a record differ from a new one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Oddities {
    order: Vec<Box<str>>,
    values: Map<String, Value>,
}

impl Oddities {
    /// Oddities of a record that still shows exactly these fields.
    pub(crate) fn of_fields<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        Self { order: names.map(Into::into).collect(), values: Map::new() }
    }

    /// The names of all fields, in the order in which they are shown.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.order.iter().map(|name| &**name)
    }

    /// Whether the record shows this field.
    pub(crate) fn shows(&self, name: &str) -> bool {
        self.order.iter().any(|known| **known == *name)
    }

    /// What a field shows: its odd value if it has one, nothing if it is not shown, else its plain value.
    pub(crate) fn value_or(
        oddities: Option<&Self>,
        name: &str,
        plain: impl FnOnce() -> Option<Value>,
    ) -> Option<Value> {
        let Some(oddities) = oddities else { return plain() };
        match oddities.values.get(name) {
            Some(odd) => Some(odd.clone()),
            None if oddities.shows(name) => plain(),
            None => None,
        }
    }

    /// Whether no field has an odd value.
    pub(crate) fn only_order(&self) -> bool {
        self.values.is_empty()
    }

    /// Shows a field, at the end if it was not shown.
    pub(crate) fn show(&mut self, name: &str) {
        if !self.shows(name) {
            self.order.push(name.into());
        }
    }

    /// Gives a field an odd value, or a caller's own field its value.
    pub(crate) fn set(&mut self, name: &str, value: Value) {
        self.show(name);
        self.values.insert(name.into(), value);
    }

    /// Forgets the odd value of a field; the field is still shown.
    pub(crate) fn forget(&mut self, name: &str) {
        self.values.shift_remove(name);
    }

    /// Removes a field altogether.
    pub(crate) fn remove(&mut self, name: &str) {
        self.order.retain(|known| **known != *name);
        self.values.shift_remove(name);
    }
}
