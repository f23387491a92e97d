//! JSON as the metadata needs it: numbers by their digits, no duplicate members, a bound on what is kept.
//!
//! `serde_json` does the reading. Its own `Value` keeps the last of two equal members and, with `arbitrary_precision`,
//! takes an object with one magic member for a number; [`Json`] refuses both.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::ZarrError;
use super::limits::{MAX_DOCUMENT_BYTES, MAX_DOCUMENT_VALUES};

/// The member under which `serde_json` (feature `arbitrary_precision`) hands over the digits of a number.
const NUMBER_TOKEN: &str = "$serde_json::private::Number";

/// One JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// The digits as they stand in the document.
    Number(String),
    String(String),
    Array(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

/// Members of a document's one object.
#[derive(Debug)]
pub(crate) struct Document {
    /// The members that the reader asked for.
    pub(crate) known: Json,
    /// Name of the first other member that may not be ignored.
    pub(crate) not_understood: Option<String>,
}

/// Reads a document: `known` members are kept, `skipped` must be objects and are passed over, all others must be
/// objects that say `"must_understand": false`.
pub(crate) fn read_document(json: &[u8], known: &[&str], skipped: &str) -> Result<Document, ZarrError> {
    if json.len() as u64 > MAX_DOCUMENT_BYTES {
        return Err(ZarrError::Limit { what: "length of zarr.json, bytes", observed: json.len() as u64, allowed: MAX_DOCUMENT_BYTES });
    }
    let budget = Budget(Cell::new(0));
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let visitor = DocumentVisitor { known, skipped, budget: &budget };
    let read = deserializer.deserialize_map(visitor).and_then(|document| deserializer.end().map(|()| document));
    read.map_err(|error| match budget.exhausted() {
        true => ZarrError::Limit {
            what: "number of JSON values in zarr.json",
            observed: budget.0.get() as u64,
            allowed: MAX_DOCUMENT_VALUES as u64,
        },
        false => ZarrError::Malformed(error.to_string()),
    })
}

/// How many values were kept so far.
struct Budget(Cell<usize>);

impl Budget {
    fn exhausted(&self) -> bool {
        self.0.get() > MAX_DOCUMENT_VALUES
    }

    fn take<E: Error>(&self) -> Result<(), E> {
        self.0.set(self.0.get() + 1);
        if self.exhausted() { Err(E::custom("too many values")) } else { Ok(()) }
    }
}

struct DocumentVisitor<'a> {
    known: &'a [&'a str],
    skipped: &'a str,
    budget: &'a Budget,
}

impl<'de> Visitor<'de> for DocumentVisitor<'_> {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut members = BTreeMap::new();
        let mut others = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            self.budget.take()?;
            if members.contains_key(&name) || others.contains_key(&name) {
                return Err(duplicate(&name));
            }
            if self.known.contains(&name.as_str()) {
                members.insert(name, map.next_value_seed(Tree(self.budget))?);
            } else if name == self.skipped {
                map.next_value_seed(SkippedObject(&name))?;
                others.insert(name, true);
            } else {
                let ignorable = map.next_value_seed(Ignorable)?;
                others.insert(name, ignorable);
            }
        }
        let not_understood = others.into_iter().find(|(_, ignorable)| !ignorable).map(|(name, _)| name);
        Ok(Document { known: Json::Object(members), not_understood })
    }
}

fn duplicate<E: Error>(name: &str) -> E {
    E::custom(format_args!("two members are named {}", super::node::quote(name)))
}

/// Reads one value and all below it.
struct Tree<'a>(&'a Budget);

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        self.0.take()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    // The three below serve a build in which nothing turns `arbitrary_precision` on.
    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(format!("{value:e}")))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Tree(self.0))? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == NUMBER_TOKEN {
                return map.next_value_seed(Digits).map(Json::Number);
            }
            let value = map.next_value_seed(Tree(self.0))?;
            if members.insert(name.clone(), value).is_some() {
                return Err(duplicate(&name));
            }
        }
        Ok(Json::Object(members))
    }
}

/// The digits of a number. `serde_json` hands them over as an owned string; a string that stands in the document is
/// borrowed or copied, so an object that only looks like a number does not pass.
struct Digits;

impl<'de> DeserializeSeed<'de> for Digits {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Digits {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no member named `{NUMBER_TOKEN}`")
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<String, E> {
        Err(E::custom(format_args!("the member name `{NUMBER_TOKEN}` is reserved")))
    }

    fn visit_string<E>(self, digits: String) -> Result<String, E> {
        Ok(digits)
    }
}

/// Passes over an object; anything else is an error.
struct SkippedObject<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for SkippedObject<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for SkippedObject<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object as `{}`", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// Passes over a value and says whether it is an object with `"must_understand": false`.
struct Ignorable;

impl<'de> DeserializeSeed<'de> for Ignorable {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Ignorable {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<bool, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut ignorable = None;
        while let Some(name) = map.next_key::<String>()? {
            if name != "must_understand" {
                map.next_value::<IgnoredAny>()?;
            } else if ignorable.is_some() {
                return Err(duplicate(&name));
            } else {
                ignorable = Some(!map.next_value::<bool>()?);
            }
        }
        Ok(ignorable == Some(true))
    }
}
