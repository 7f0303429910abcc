//! Objects and lists of JSON as streams.
//!
//! serde builds values; here nothing is built. What is looked for is handed to a callback as it comes, and everything
//! else is read past, with the same limits.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::gauge::Gauge;

/// What is done with the members of an object.
pub(crate) trait Members<'de> {
    /// Takes the value of `key`, or reads past it with [`skip`].
    fn member<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;
}

/// What is done with the elements of a list.
pub(crate) trait Elements<'de> {
    /// Takes the next element; false when there is none.
    fn element<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error>;
}

/// Reads an object.
pub(crate) struct Object<'g, T> {
    pub(crate) gauge: &'g Gauge,
    /// For error messages.
    pub(crate) what: &'static str,
    pub(crate) members: T,
}

/// Reads a list.
pub(crate) struct List<'g, T> {
    pub(crate) gauge: &'g Gauge,
    /// For error messages.
    pub(crate) what: &'static str,
    pub(crate) elements: T,
}

/// Reads past the value of a member.
pub(crate) fn skip<'de, A: MapAccess<'de>>(gauge: &Gauge, map: &mut A) -> Result<(), A::Error> {
    map.next_value_seed(Skip { gauge })
}

impl<'de, T: Members<'de>> DeserializeSeed<'de> for Object<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<T, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de, T: Members<'de>> Visitor<'de> for Object<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, which is an object", self.what)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<T, A::Error> {
        while let Some(key) = map.next_key::<Box<str>>()? {
            self.members.member(&key, &mut map)?;
            self.gauge.token();
        }
        Ok(self.members)
    }
}

impl<'de, T: Elements<'de>> DeserializeSeed<'de> for List<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<T, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de, T: Elements<'de>> Visitor<'de> for List<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, which is a list", self.what)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<T, A::Error> {
        while self.elements.element(&mut list)? {
            self.gauge.token();
        }
        Ok(self.elements)
    }
}

/// Reads past a value of any kind.
///
/// `IgnoredAny` would do, but for two things: it lets values be nested as deeply as they like, at a byte of memory for
/// each level, and it says nothing to the gauge.
#[derive(Clone, Copy)]
pub(crate) struct Skip<'g> {
    pub(crate) gauge: &'g Gauge,
}

impl<'de> DeserializeSeed<'de> for Skip<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skip<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key_seed(self)?.is_some() {
            map.next_value_seed(self)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.seen()
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.seen()
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.seen()
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.seen()
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        self.seen()
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.seen()
    }
}

impl Skip<'_> {
    fn seen<E>(self) -> Result<(), E> {
        self.gauge.token();
        Ok(())
    }
}
