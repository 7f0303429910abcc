//! Where a webhook is: as much of RFC 3986 as an address for `POST` needs.

/// The parts of `http://host:port/path?query`.
///
/// It has no `Debug`, since path and query may be as good as a password.
pub(crate) struct Url<'a> {
    pub(crate) tls: bool,
    /// Without brackets, if it is an IPv6 address.
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    /// What stands in the `Host` header.
    pub(crate) authority: &'a str,
    /// Path and query as they are sent; may lack the first slash.
    pub(crate) target: &'a str,
}

impl<'a> Url<'a> {
    /// Takes `text` apart, or says what is wrong without quoting it.
    pub(crate) fn parse(text: &'a str) -> Result<Self, &'static str> {
        const MAX_BYTES: usize = 2048;
        if text.len() > MAX_BYTES {
            return Err("is longer than 2,048 bytes");
        }
        // A line break would begin a header of the writer's choice.
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("has blanks, control characters or letters that must be percent-encoded");
        }
        let (tls, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            _ => return Err("does not begin with https:// or http://"),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("has a user name in it; who sends is shown by the signature");
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => bracketed.split_once(']').ok_or("has a bracket too few")?,
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        if host.is_empty() || host.len() > 255 {
            return Err("has no host, or one that is too long");
        }
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().map_err(|_| "has a port that is not one")?,
            None if port.is_empty() => {
                if tls {
                    443
                } else {
                    80
                }
            }
            None => return Err("has something between host and port"),
        };
        Ok(Self {
            tls,
            host,
            port,
            authority,
            target,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let parts = |text| {
            let url = Url::parse(text).ok()?;
            Some((url.tls, url.host, url.port, url.authority, url.target))
        };
        let cases = [
            ("https://a.b", (true, "a.b", 443, "a.b", "")),
            ("HTTP://a/b?c=d#e", (false, "a", 80, "a", "/b?c=d")),
            ("http://a:81?c", (false, "a", 81, "a:81", "?c")),
            ("http://[::1]:8/x", (false, "::1", 8, "[::1]:8", "/x")),
            ("https://[::1]", (true, "::1", 443, "[::1]", "")),
        ];
        for (text, expected) in cases {
            assert_eq!(parts(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let bad = [
            "",
            "a",
            "ftp://a",
            "http://",
            "http:///a",
            "http://:80",
            "http://a:",
            "http://a:b",
            "http://a:99999",
            "http://[::1",
            "http://[::1]80",
            "http://a/ b",
            "http://a/\r\nX: y",
            "http://a/\u{e9}",
            "http://a\0",
        ];
        for text in bad {
            assert!(Url::parse(text).is_err(), "{text:?}");
        }
        let with_user = ["http://user:password", "host"].join("@");
        assert!(Url::parse(&with_user).is_err());
    }
}
