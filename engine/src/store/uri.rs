//! From what a user writes to a store and a key prefix. Equal places give equal prefixes.

use std::path::Path;

use thiserror::Error;

use super::ObjectKey;

/// Which store an object lives in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scheme {
    /// The file system. Keys are absolute paths without the leading `/`.
    Local,
    /// The memory store of this name.
    Memory(String),
}

/// A place in a store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// The store.
    pub scheme: Scheme,
    /// Prefix of all keys of the place, without `/` at either end; empty for the root of the store.
    pub prefix: String,
}

/// Why a URI names no place.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum UriError {
    /// Nothing to resolve.
    #[error("empty URI; give a path, or a URI that begins with file:// or memory://")]
    Empty,
    /// A scheme that is planned.
    #[error("{uri:?}: {scheme}:// is not built in yet; local paths, file:// and memory:// are")]
    NotBuiltIn {
        /// What was given.
        uri: String,
        /// Its scheme.
        scheme: String,
    },
    /// A scheme nobody knows.
    #[error("{uri:?}: unknown scheme {scheme}://; local paths, file:// and memory:// are allowed")]
    UnknownScheme {
        /// What was given.
        uri: String,
        /// Its scheme.
        scheme: String,
    },
    /// A URI that breaks the rules of its scheme.
    #[error("{uri:?}: {reason}")]
    Invalid {
        /// What was given.
        uri: String,
        /// Rule broken.
        reason: &'static str,
    },
    /// A relative path, and no current directory.
    #[error("{uri:?} is relative, and the current directory is unknown: {reason}")]
    NoCurrentDirectory {
        /// What was given.
        uri: String,
        /// Why.
        reason: String,
    },
}

/// Schemes of object stores, refused with a promise.
const PLANNED: [&str; 9] = ["s3", "s3a", "gs", "gcs", "az", "azure", "abfs", "http", "https"];

/// Resolves a path or URI.
///
/// - A plain path is taken as it is (no percent-decoding), relative to the current directory. Symbolic links are not
///   looked at: `a/../b` is `b`.
/// - `file:///path` is percent-decoded; the host is empty or `localhost`.
/// - `memory://name/prefix` is the named store of the registry.
///
/// # Errors
/// See [`UriError`].
pub fn resolve(uri: &str) -> Result<Location, UriError> {
    let Some((scheme, rest)) = split_scheme(uri) else { return local(uri, uri) };
    match &*scheme.to_ascii_lowercase() {
        "file" => file(uri, rest),
        "memory" => memory(uri, rest),
        planned if PLANNED.contains(&planned) => Err(UriError::NotBuiltIn { uri: uri.into(), scheme: planned.into() }),
        unknown => Err(UriError::UnknownScheme { uri: uri.into(), scheme: unknown.into() }),
    }
}

/// The key of `relative` (checked by its maker: no empty, `.` or `..` segment) below `prefix`.
pub fn join_key(prefix: &str, relative: &str) -> ObjectKey {
    match (prefix, relative) {
        ("", key) | (key, "") => key.into(),
        _ => {
            let mut key = String::with_capacity(prefix.len() + 1 + relative.len());
            key.extend([prefix, "/", relative]);
            key.into()
        }
    }
}

/// Scheme (RFC 3986: a letter, then letters, digits, `+`, `-`, `.`) and what follows `://`.
fn split_scheme(uri: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = uri.split_once("://")?;
    let mut letters = scheme.chars();
    let valid = letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '-' | '.'));
    valid.then_some((scheme, rest))
}

fn invalid(uri: &str, reason: &'static str) -> UriError {
    UriError::Invalid { uri: uri.into(), reason }
}

fn local(uri: &str, path: &str) -> Result<Location, UriError> {
    if path.is_empty() {
        return Err(UriError::Empty);
    }
    let absolute = if Path::new(path).is_absolute() { path.into() } else { absolute(uri, path)? };
    Ok(Location { scheme: Scheme::Local, prefix: normalised(uri, &absolute)? })
}

fn absolute(uri: &str, path: &str) -> Result<String, UriError> {
    let no_directory = |reason: String| UriError::NoCurrentDirectory { uri: uri.into(), reason };
    let directory = std::env::current_dir().map_err(|error| no_directory(error.to_string()))?;
    let directory = directory.to_str().ok_or_else(|| no_directory("its name is not UTF-8".into()))?;
    Ok(format!("{directory}/{path}"))
}

fn file(uri: &str, rest: &str) -> Result<Location, UriError> {
    let path = rest.strip_prefix("localhost").filter(|path| path.starts_with('/')).unwrap_or(rest);
    if !path.starts_with('/') {
        return Err(invalid(uri, "a file URI has no host but localhost, and an absolute path: file:///path"));
    }
    if path.contains(['?', '#']) {
        return Err(invalid(uri, "a file URI has no query and no fragment; write %3F for ? and %23 for #"));
    }
    local(uri, &percent_decoded(uri, path)?)
}

fn memory(uri: &str, rest: &str) -> Result<Location, UriError> {
    let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
    if name.is_empty() {
        return Err(invalid(uri, "a memory URI names its store: memory://name"));
    }
    if path.split('/').any(|segment| segment == "..") {
        return Err(invalid(uri, "`..` is allowed in file paths only"));
    }
    Ok(Location { scheme: Scheme::Memory(name.into()), prefix: normalised(uri, path)? })
}

/// Without empty and `.` segments, `..` resolved by the letter (at the root it is the root).
fn normalised(uri: &str, path: &str) -> Result<String, UriError> {
    if path.contains('\0') {
        return Err(invalid(uri, "NUL is no part of any path"));
    }
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    Ok(segments.join("/"))
}

fn percent_decoded(uri: &str, text: &str) -> Result<String, UriError> {
    let bad = || invalid(uri, "% is followed by two hexadecimal digits; write %25 for % itself");
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let digits = part.as_bytes().get(..2).ok_or_else(bad)?;
        let digit = |digit: u8| (digit as char).to_digit(16).ok_or_else(bad);
        bytes.push((digit(digits[0])? * 16 + digit(digits[1])?) as u8);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).map_err(|_| invalid(uri, "percent-encoded bytes that are not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(uri: &str) -> String {
        let location = resolve(uri).unwrap_or_else(|error| panic!("{uri}: {error}"));
        assert_eq!(location.scheme, Scheme::Local, "{uri}");
        location.prefix
    }

    #[test]
    fn equal_places_give_equal_prefixes() {
        for uri in ["/a/b", "/a/b/", "//a//b//", "/a/./b/.", "/a/c/../b", "/../a/b", "file:///a/b", "FILE:///a/b/", "file://localhost/a/b"]
        {
            assert_eq!(prefix(uri), "a/b", "{uri}");
        }
        assert_eq!(prefix("/"), "");
        let here = std::env::current_dir().unwrap();
        let here = here.to_str().unwrap().trim_matches('/');
        for uri in ["data/x", "./data/x/", "data/../data//x"] {
            assert_eq!(prefix(uri), format!("{here}/data/x"), "{uri}");
        }
    }

    #[test]
    fn only_file_uris_are_percent_decoded() {
        assert_eq!(prefix("/a%20b"), "a%20b");
        assert_eq!(prefix("file:///a%20b/%C3%A4%25"), "a b/ä%");
        assert_eq!(prefix("file:///a/%2e%2E/b"), "b");
        assert_eq!(prefix("/what?#"), "what?#");
        for uri in [
            "file:///a%2",
            "file:///a%zz",
            "file:///%+1",
            "file:///a%ff",
            "file:///a%00",
            "file:///a?b",
            "file:///a#b",
            "file://host/a",
            "file://a",
            "file://",
        ] {
            assert!(matches!(resolve(uri), Err(UriError::Invalid { .. })), "{uri}");
        }
        assert!(resolve("/a\0b").is_err());
    }

    #[test]
    fn memory_stores_have_names() {
        let at = |name: &str, prefix: &str| Ok(Location { scheme: Scheme::Memory(name.into()), prefix: prefix.into() });
        assert_eq!(resolve("memory://x"), at("x", ""));
        assert_eq!(resolve("memory://x/a//b/./"), at("x", "a/b"));
        for uri in ["memory://", "memory:///a", "memory://x/a/../b"] {
            assert!(matches!(resolve(uri), Err(UriError::Invalid { .. })), "{uri}");
        }
    }

    #[test]
    fn other_schemes_are_refused_by_name() {
        for scheme in ["s3", "gs", "https", "az"] {
            let error = resolve(&format!("{scheme}://bucket/a")).unwrap_err();
            assert!(matches!(&error, UriError::NotBuiltIn { scheme: found, .. } if found == scheme), "{error}");
        }
        assert!(matches!(resolve("nonsense://a"), Err(UriError::UnknownScheme { .. })));
        assert_eq!(resolve(""), Err(UriError::Empty));
        assert!(prefix("a b://c").ends_with("a b:/c"), "no scheme has a blank: a path");
    }

    #[test]
    fn keys_are_joined() {
        assert_eq!(&*join_key("a/b", "c/0"), "a/b/c/0");
        assert_eq!(&*join_key("", "c/0"), "c/0");
        assert_eq!(&*join_key("a/b", ""), "a/b");
    }
}
