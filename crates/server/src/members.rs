//! JSON objects whose members are exchanged while all others stay as they were written, in their order.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// The members of an object, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Members<V>(Vec<(String, V)>);

impl<V> Members<V> {
    /// The value of a member; of several the last, which is the one that readers keep.
    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut V> {
        self.0.iter_mut().rev().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    /// The value of a member that stands exactly once.
    pub(crate) fn only_mut(&mut self, name: &str) -> Option<&mut V> {
        let mut found = self.0.iter_mut().filter(|(found, _)| found == name);
        found.next().filter(|_| found.next().is_none()).map(|(_, value)| value)
    }

    /// Puts a member at the end, in place of any of its name.
    pub(crate) fn set_last(&mut self, name: &str, value: V) {
        self.0.retain(|(found, _)| found != name);
        self.0.push((name.to_owned(), value));
    }
}

impl<V> FromIterator<(&'static str, V)> for Members<V> {
    fn from_iter<I: IntoIterator<Item = (&'static str, V)>>(members: I) -> Self {
        Self(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

impl<V: Serialize> Serialize for Members<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Members<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for MembersVisitor<V> {
            type Value = Members<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<V>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::{RawValue, to_raw_value};

    use super::*;

    #[test]
    fn a_member_is_exchanged_and_the_others_stay_as_they_were() {
        let text = r#"{"b":9007199254740993,"_pricing":1,"a":[1.0, "\u00e9"],"c":1e400}"#;
        let mut members: Members<Box<RawValue>> = serde_json::from_str(text).unwrap();
        members.set_last("_pricing", to_raw_value(&7).unwrap());
        *members.get_mut("c").unwrap() = to_raw_value("x").unwrap();
        assert_eq!(
            serde_json::to_string(&members).unwrap(),
            r#"{"b":9007199254740993,"a":[1.0, "\u00e9"],"c":"x","_pricing":7}"#
        );
    }
}
