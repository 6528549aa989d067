//! Which site asks for a sign-in, and the sentence with which it does. Both come from the server's configuration.

use super::text::checked_text;
use std::net::{Ipv4Addr, Ipv6Addr};

checked_text!(
    /// Address of the page that asks, by which wallets tell people who asks: at most 255 characters.
    ///
    /// It is written as a browser has it, since wallets compare: `https://`, a host in lower case, a port only where it is not
    /// 443, and a path of letters, digits and `/-._~`. `http://` is for this machine alone (`localhost` and loopback
    /// addresses), where no one is between browser and server: elsewhere whoever is could have their own sign-in signed. Never
    /// from a request's Host header, which a caller writes.
    SiteUri,
    "the address of the console",
    "https:// and a host in lower case, without user name, default port, query or fragment (http:// only for localhost)",
    is_site_uri
);

impl SiteUri {
    /// Host, and port where it is given: what ERC-4361 calls the domain.
    pub fn domain(&self) -> &str {
        split(self.as_str()).map_or("", |(_, authority, _)| authority)
    }
}

checked_text!(
    /// What the person agrees to, in one line of 1 to 200 characters: those of an address (RFC 3986, without `%`) and spaces,
    /// as the grammar of ERC-4361 has it. Say in it what the signature is for, and another thing for another use: a signature
    /// that links a wallet must not be one that signs in.
    Statement,
    "the statement of a sign-in",
    "1 to 200 characters: letters, digits, spaces and -._~:/?#[]@!$&'()*+,;=",
    |text| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b" -._~:/?#[]@!$&'()*+,;=".contains(&b);
        (1..=200).contains(&text.len()) && text.trim() == text && text.bytes().all(plain)
    }
);

/// Scheme, authority and path.
fn split(uri: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = uri.split_once("://")?;
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    Some((scheme, authority, path))
}

fn is_site_uri(text: &str) -> bool {
    let Some((scheme, authority, path)) = split(text) else {
        return false;
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~".contains(&b);
    let (host, port) = host_and_port(authority);
    let is_scheme_fit = match scheme {
        "https" => port != Some("443"),
        "http" => port != Some("80") && is_this_machine(host),
        _ => false,
    };
    text.len() <= 255
        && path.bytes().all(plain)
        && is_scheme_fit
        && is_host(host)
        && port.is_none_or(is_port)
}

fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        // Colons within brackets are of the address.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (authority, None),
    }
}

fn is_port(text: &str) -> bool {
    let is_number = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    is_number && text.parse::<u16>().is_ok()
}

fn ipv6(host: &str) -> Option<Ipv6Addr> {
    let address: Ipv6Addr = host.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?;
    // As a browser writes it.
    (format!("[{address}]") == host).then_some(address)
}

fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A last label of digits alone makes a browser read an IPv4 address, in whatever form it is written.
    let is_name = |host: &str| {
        let last = host.rsplit('.').next().unwrap_or_default();
        !last.bytes().all(|b| b.is_ascii_digit()) && !last.starts_with("0x")
    };
    ipv6(host).is_some()
        || host.parse::<Ipv4Addr>().is_ok()
        || (host.split('.').all(is_label) && is_name(host))
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback())
        || ipv6(host).is_some_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_as_a_browser_has_it() {
        for (good, domain) in [
            (
                "https://console.dgon.example/sign-in",
                "console.dgon.example",
            ),
            ("https://dgon.example", "dgon.example"),
            ("https://dgon.example:8443/", "dgon.example:8443"),
            ("https://10.0.0.1:8443/a/b_c~d.e", "10.0.0.1:8443"),
            ("https://[2001:db8::1]:8443/", "[2001:db8::1]:8443"),
            ("https://[2001:db8::1]/", "[2001:db8::1]"),
            ("https://xn--bcher-kva.example/", "xn--bcher-kva.example"),
            ("http://localhost:8080/sign-in", "localhost:8080"),
            ("http://127.0.0.1", "127.0.0.1"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert_eq!(SiteUri::parse(good).unwrap().domain(), domain, "{good}");
        }
    }

    #[test]
    fn an_address_that_says_another_site_or_none_is_refused() {
        for bad in [
            "",
            "https://",
            "https:///sign-in",
            "dgon.example",
            "ftp://dgon.example",
            "HTTPS://dgon.example",
            "http://dgon.example",
            "http://127.0.0.1.dgon.example",
            "http://localhost.dgon.example",
            "https://Dgon.example",
            "https://bücher.example",
            "https://bank.example@dgon.example",
            "https://dgon.example:443",
            "http://localhost:80",
            "https://dgon.example:0",
            "https://dgon.example:08443",
            "https://dgon.example:65536",
            "https://dgon.example:",
            "https://dgon.example/?a=b",
            "https://dgon.example/#a",
            "https://dgon.example/a b",
            "https://dgon.example/a\nURI: https://bank.example",
            "https://dgon..example",
            "https://-dgon.example",
            "https://dgon.example.",
            "https://0x7f.1",
            "https://1.2.3",
            "https://dgon.0x1",
            "https://[2001:DB8::1]",
            "https://[::1",
            "https://::1",
            &format!("https://dgon.example/{}", "a".repeat(235)),
        ] {
            assert!(SiteUri::parse(bad).is_err(), "{bad}");
        }
        assert!(SiteUri::parse(format!("https://dgon.example/{}", "a".repeat(234))).is_ok());
    }

    #[test]
    fn a_statement_is_one_line_of_plain_characters() {
        for good in [
            "a",
            "Sign in to DGON (it's free): no fee.",
            &"x".repeat(200),
        ] {
            assert!(Statement::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            " a",
            "a ",
            "a\nb",
            "50 %",
            "\"a\"",
            "é",
            &"x".repeat(201),
        ] {
            assert!(Statement::parse(bad).is_err(), "{bad}");
        }
    }
}
