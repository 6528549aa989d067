//! One entry of `runtimes.endpoints`: an address, or an address with what it takes to speak to it.

use super::BaseUrl;
use crate::runtime::{AccessError, Endpoint, NamedEndpoint, RuntimeKind, load_access};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::path::PathBuf;

/// A place to look for a runtime. Secrets are named by their files, never written here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeEndpoint {
    /// Where.
    pub url: BaseUrl,
    /// Which server it is; found out where it is not said.
    pub kind: Option<RuntimeKind>,
    /// File with the API key that the runtime asks for: one line.
    pub api_key_file: Option<PathBuf>,
    /// File with the certificates (PEM) that the runtime's own must lead to; else the built-in authorities.
    pub ca_file: Option<PathBuf>,
}

/// The long form in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Long {
    url: BaseUrl,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    api_key_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca_file: Option<PathBuf>,
}

impl RuntimeEndpoint {
    /// Keys of the long form.
    pub(super) const KEYS: &'static [&'static str] = &["url", "kind", "api_key_file", "ca_file"];

    /// Where the runtime answers.
    pub fn endpoint(&self) -> Endpoint {
        let endpoint = Endpoint::new(self.url.host(), self.url.port());
        if self.url.is_https() {
            endpoint.over_tls()
        } else {
            endpoint
        }
    }

    /// The endpoint with its key and certificates, read from their files.
    ///
    /// # Errors
    /// [`AccessError`] names the file that cannot be used.
    pub fn open(&self) -> Result<NamedEndpoint, AccessError> {
        let endpoint = self.endpoint();
        let access = load_access(
            &endpoint,
            self.api_key_file.as_deref(),
            self.ca_file.as_deref(),
        )?;
        Ok(NamedEndpoint {
            endpoint,
            kind: self.kind,
            access,
        })
    }
}

impl From<BaseUrl> for RuntimeEndpoint {
    fn from(url: BaseUrl) -> Self {
        Self {
            url,
            kind: None,
            api_key_file: None,
            ca_file: None,
        }
    }
}

impl Serialize for RuntimeEndpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.kind.is_none() && self.api_key_file.is_none() && self.ca_file.is_none() {
            return self.url.serialize(serializer);
        }
        Long {
            url: self.url.clone(),
            kind: self.kind.map(|kind| kind.config_name().to_owned()),
            api_key_file: self.api_key_file.clone(),
            ca_file: self.ca_file.clone(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RuntimeEndpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = RuntimeEndpoint;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address such as http://127.0.0.1:8000, or a mapping with url and api_key_file")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<RuntimeEndpoint, E> {
                BaseUrl::parse(text).map(Into::into).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RuntimeEndpoint, A::Error> {
                let long = Long::deserialize(MapAccessDeserializer::new(map))?;
                let kind = long.kind.map(|name| {
                    RuntimeKind::named(&name).ok_or_else(|| {
                        let names = RuntimeKind::names().join(", ");
                        A::Error::custom(format!(
                            "{name:?} is no kind of runtime; the kinds are {names}"
                        ))
                    })
                });
                Ok(RuntimeEndpoint {
                    url: long.url,
                    kind: kind.transpose()?,
                    api_key_file: long.api_key_file,
                    ca_file: long.ca_file,
                })
            }
        }
        deserializer.deserialize_any(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<Vec<RuntimeEndpoint>, serde_yaml::Error> {
        serde_yaml::from_str(yaml)
    }

    #[test]
    fn an_entry_is_an_address_or_a_mapping_and_comes_out_as_it_went_in() {
        let yaml = "- http://127.0.0.1:8000\n- url: https://gpu-box\n  kind: vllm\n  api_key_file: /etc/dgon/vllm.key\n  ca_file: /etc/dgon/ca.pem\n";
        let entries = read(yaml).unwrap();
        assert_eq!(entries[0].endpoint().to_string(), "http://127.0.0.1:8000");
        assert_eq!(entries[1].endpoint().to_string(), "https://gpu-box:443");
        assert_eq!(entries[1].kind, Some(RuntimeKind::Vllm));
        assert_eq!(serde_yaml::to_string(&entries).unwrap(), yaml);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (yaml, part) in [
            ("- gpu-box", "is not an address"),
            (
                "- url: http://h\n  kind: torch",
                "the kinds are ollama, vllm",
            ),
            (
                "- url: http://h\n  api_key: sk-1",
                "unknown field `api_key`",
            ),
            ("- kind: vllm", "missing field `url`"),
            ("- 7", "an address such as"),
        ] {
            let error = read(yaml).unwrap_err().to_string();
            assert!(error.contains(part), "{yaml}: {error}");
        }
    }
}
