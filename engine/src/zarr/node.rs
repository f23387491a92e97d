//! A cursor over a document that knows where it stands, so that every refusal can say so.

use std::fmt;

use super::json::Json;
use super::{Axes, MAX_RANK, ZarrError};

/// Longest piece of a foreign document that an error message repeats, characters.
const QUOTE_CHARS: usize = 64;

/// `text` between backticks, escaped and cut to a length that a log can bear.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::from("`");
    quoted.extend(text.chars().take(QUOTE_CHARS).flat_map(char::escape_debug));
    if text.chars().nth(QUOTE_CHARS).is_some() {
        quoted.push_str("...");
    }
    quoted.push('`');
    quoted
}

/// One value and the way to it.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a> {
    json: &'a Json,
    path: Path<'a>,
}

/// The way to a value, from the document's top.
#[derive(Clone, Copy)]
enum Path<'a> {
    Top,
    Member(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top => Ok(()),
            Self::Member(Self::Top, name) => f.write_str(name),
            Self::Member(parent, name) => write!(f, "{parent}.{name}"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// An extension point's value: a name and what configures it.
pub(crate) struct Extension<'a> {
    pub(crate) name: &'a str,
    pub(crate) configuration: Option<Node<'a>>,
    /// False only where the document says so.
    pub(crate) must_understand: bool,
}

impl<'a> Node<'a> {
    /// The top of a document.
    pub(crate) fn top(json: &'a Json) -> Self {
        Self { json, path: Path::Top }
    }

    /// `codecs[0].configuration`, say.
    pub(crate) fn path(&self) -> String {
        match self.path {
            Path::Top => "the document".to_owned(),
            path => path.to_string(),
        }
    }

    /// The error of a value that is not what belongs here.
    pub(crate) fn unexpected(&self, expected: impl fmt::Display) -> ZarrError {
        ZarrError::Malformed(format!("{}: found {}, expected {expected}", self.path(), self.found()))
    }

    /// The value in words, short.
    fn found(&self) -> String {
        match self.json {
            Json::Null => "null".to_owned(),
            Json::Bool(value) => value.to_string(),
            Json::Number(digits) => quote(digits),
            Json::String(text) => format!("the string {}", quote(text)),
            Json::Array(items) => format!("an array of {} values", items.len()),
            Json::Object(_) => "an object".to_owned(),
        }
    }

    /// Whether this is `null`.
    pub(crate) fn is_null(&self) -> bool {
        *self.json == Json::Null
    }

    /// Member `name` of an object, where it has one.
    pub(crate) fn optional(&'a self, name: &'static str) -> Result<Option<Node<'a>>, ZarrError> {
        let Json::Object(members) = self.json else {
            return Err(self.unexpected("an object"));
        };
        Ok(members.get(name).map(|json| Node { json, path: Path::Member(&self.path, name) }))
    }

    /// Member `name` of an object that must have it.
    pub(crate) fn required(&'a self, name: &'static str) -> Result<Node<'a>, ZarrError> {
        self.optional(name)?.ok_or_else(|| ZarrError::Malformed(format!("{} has no member `{name}`", self.path())))
    }

    /// Refuses members other than `known`: what they would mean is not known.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), ZarrError> {
        let Json::Object(members) = self.json else {
            return Err(self.unexpected("an object"));
        };
        match members.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => {
                let allowed = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                Err(ZarrError::Unsupported(format!("member {} of {} (allowed: {allowed})", quote(name), self.path())))
            }
        }
    }

    /// The values of an array.
    pub(crate) fn items(&'a self) -> Result<impl ExactSizeIterator<Item = Node<'a>>, ZarrError> {
        let Json::Array(items) = self.json else {
            return Err(self.unexpected("an array"));
        };
        Ok(items.iter().enumerate().map(|(index, json)| Node { json, path: Path::Item(&self.path, index) }))
    }

    /// The digits of a number, as they stand in the document.
    pub(crate) fn digits(&self) -> Option<&'a str> {
        match self.json {
            Json::Number(digits) => Some(digits),
            _ => None,
        }
    }

    /// A string.
    pub(crate) fn string(&self) -> Result<&'a str, ZarrError> {
        match self.json {
            Json::String(text) => Ok(text),
            _ => Err(self.unexpected("a string")),
        }
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self) -> Result<bool, ZarrError> {
        match self.json {
            Json::Bool(value) => Ok(*value),
            _ => Err(self.unexpected("true or false")),
        }
    }

    /// A number without fraction and exponent, within `min..=max`.
    pub(crate) fn integer(&self, min: i128, max: i128) -> Result<i128, ZarrError> {
        let refused = || self.unexpected(format_args!("an integer of {min} to {max}, without fraction or exponent"));
        let Json::Number(digits) = self.json else {
            return Err(refused());
        };
        // `i128` parsing takes neither '.' nor 'e', and JSON has no leading '+'.
        let value: i128 = digits.parse().map_err(|_| refused())?;
        if (min..=max).contains(&value) { Ok(value) } else { Err(refused()) }
    }

    /// An array of 1 to [`MAX_RANK`] extents, `min` to `max` each.
    pub(crate) fn extents(&'a self, min: u64, max: u64) -> Result<Axes<u64>, ZarrError> {
        let items = self.items()?;
        match items.len() {
            0 => return Err(ZarrError::Unsupported(format!("{} of rank 0 (a scalar): no axis to crop", self.path()))),
            rank if rank > MAX_RANK => {
                return Err(ZarrError::Limit { what: "rank of the array", observed: rank as u64, allowed: MAX_RANK as u64 });
            }
            _ => {}
        }
        items.map(|item| item.integer(min.into(), max.into()).map(|extent| extent as u64)).collect()
    }

    /// An extension point's value: a name as a string, or an object of `name`, `configuration` and `must_understand`.
    pub(crate) fn extension(&'a self) -> Result<Extension<'a>, ZarrError> {
        if let Json::String(name) = self.json {
            return Ok(Extension { name, configuration: None, must_understand: true });
        }
        let name = self.required("name")?.string()?;
        self.only(&["name", "configuration", "must_understand"])?;
        let must_understand = match self.optional("must_understand")? {
            Some(flag) => flag.boolean()?,
            None => true,
        };
        let configuration = self.optional("configuration")?;
        if let Some(configuration) = &configuration
            && !matches!(configuration.json, Json::Object(_))
        {
            return Err(configuration.unexpected("an object"));
        }
        Ok(Extension { name, configuration, must_understand })
    }
}

impl<'a> Extension<'a> {
    /// The configuration that this extension cannot do without.
    pub(crate) fn configured(&self, at: &Node<'_>) -> Result<Node<'a>, ZarrError> {
        self.configuration.ok_or_else(|| ZarrError::Malformed(format!("{} ({}) has no `configuration`", at.path(), quote(self.name))))
    }

    /// Refuses a configuration that says anything.
    pub(crate) fn unconfigured(&self) -> Result<(), ZarrError> {
        self.configuration.map_or(Ok(()), |configuration| configuration.only(&[]))
    }
}
