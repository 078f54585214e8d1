//! A serde deserializer over the tree: a kind declares its section as a plain struct, and every
//! mistake still points at the key or value that made it and is named by its path.

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::diagnostic::ProfileError;
use super::fault::Fault;
use super::print;
use super::tree::{Key, Node, Value};

/// Reads a value as `T`. `path` is what errors call it, a section's name.
///
/// # Errors
/// Unknown and missing keys, wrong types, what `T` itself refuses (a newtype with
/// `#[serde(try_from = "String")]` gets the place of its value for nothing).
pub fn from_node<'de, T: Deserialize<'de>>(node: &'de Node, path: &str) -> Result<T, ProfileError> {
    T::deserialize(Reader(node)).map_err(|fault| fault.within(path, &node.at))
}

struct Reader<'de>(&'de Node);

impl<'de> Reader<'de> {
    fn unexpected(&self) -> Unexpected<'de> {
        match &self.0.value {
            Value::String(text) => Unexpected::Str(text),
            Value::Integer(number) => Unexpected::Signed(*number),
            Value::Float(number) => Unexpected::Float(*number),
            Value::Boolean(truth) => Unexpected::Bool(*truth),
            Value::Datetime(_) => Unexpected::Other("a date or time"),
            Value::List(_) => Unexpected::Seq,
            Value::Table(_) => Unexpected::Map,
        }
    }
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let node = self.0;
        let result = match &node.value {
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(truth) => visitor.visit_bool(*truth),
            Value::Datetime(_) => Err(Fault::invalid_type(self.unexpected(), &visitor)),
            Value::List(items) => visitor.visit_seq(Items {
                items: items.iter().enumerate(),
            }),
            Value::Table(table) => {
                let entries = Box::new(table.iter());
                return visitor.visit_map(Entries {
                    entries,
                    value: None,
                });
            }
        };
        result.map_err(|fault| fault.at(&node.at))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    /// Enums are written as the name of a variant without fields.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let result = match self.0.as_str() {
            Some(name) => visitor.visit_enum(BorrowedStrDeserializer::new(name)),
            None => Err(Fault::not_a_name(self.unexpected(), variants)),
        };
        result.map_err(|fault| fault.at(&self.0.at))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct Items<'de> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let Some((place, node)) = self.items.next() else {
            return Ok(None);
        };
        let element = seed.deserialize(Reader(node));
        element
            .map(Some)
            .map_err(|fault| fault.at(&node.at).inside(format!("[{place}]")))
    }
}

struct Entries<'de> {
    entries: Box<dyn Iterator<Item = (&'de Key, &'de Node)> + 'de>,
    value: Option<(&'de Key, &'de Node)>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        self.value = self.entries.next();
        let Some((key, _)) = self.value else {
            return Ok(None);
        };
        let name = seed.deserialize(BorrowedStrDeserializer::new(&key.name));
        name.map(Some).map_err(|fault: Fault| fault.at(&key.at))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        let Some((key, node)) = self.value.take() else {
            return Err(Fault::custom("a value was asked for before its key"));
        };
        let value = seed.deserialize(Reader(node));
        // People look for a table at its name, for anything else at what is written.
        let at = if node.as_table().is_some() {
            &key.at
        } else {
            &node.at
        };
        value.map_err(|fault| fault.at(at).inside(print::key(&key.name)))
    }
}

#[cfg(test)]
#[path = "de_test.rs"]
mod tests;
