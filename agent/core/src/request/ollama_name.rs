//! Names of Ollama's models: which are one, and which are served elsewhere.
//!
//! Ollama sends a request for a cloud model on to its maker's machines. What they did is not this node's work, so its
//! receipt says so. The list of models names such models; a name that says it itself needs no list.

/// Whether a name is that of a cloud model: its tag is `cloud` or ends with `-cloud`.
pub fn is_cloud_name(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or_default();
    let Some((_, tag)) = last.split_once(':') else {
        return false;
    };
    let tag = tag.trim().to_ascii_lowercase();
    tag.split(':')
        .any(|part| part == "cloud" || part.ends_with("-cloud"))
}

/// Whether two names are of one model. Ollama fills in what a name leaves out (registry, namespace, tag) and ignores
/// the case of all of it.
pub fn is_same_model(one: &str, other: &str) -> bool {
    one == other || whole_name(one).eq(whole_name(other))
}

/// The bytes of the whole name, without making it: a request is compared with each model of a list.
fn whole_name(name: &str) -> impl Iterator<Item = u8> {
    let name = name.trim();
    let path = ["https://", "http://"]
        .into_iter()
        .find_map(|scheme| {
            let start = name.get(..scheme.len())?;
            start
                .eq_ignore_ascii_case(scheme)
                .then(|| name.get(scheme.len()..))?
        })
        .unwrap_or(name);
    let last = path.rsplit('/').next().unwrap_or_default();
    let tag = if last.contains(':') { "" } else { ":latest" };
    let before = match path.matches('/').count() {
        0 => "registry.ollama.ai/library/",
        1 => "registry.ollama.ai/",
        _ => "",
    };
    let lower = path.bytes().map(|byte| byte.to_ascii_lowercase());
    before.bytes().chain(lower).chain(tag.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_model_are_one() {
        for (one, other) in [
            ("llama3", "llama3:latest"),
            ("MyCloud", "mycloud:latest"),
            ("library/mycloud", "mycloud"),
            ("registry.ollama.ai/library/m:8b", "m:8B"),
            ("https://registry.ollama.ai/user/m", "user/m:latest"),
        ] {
            assert!(is_same_model(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("m", "m:8b"),
            ("user/m", "m"),
            ("host/user/m", "user/m"),
            ("", "m"),
        ] {
            assert!(!is_same_model(one, other), "{one} {other}");
        }
    }

    #[test]
    fn a_tag_says_that_a_model_is_elsewhere() {
        for name in [
            "glm-4.6:cloud",
            "gpt-oss:120b-cloud",
            "user/gpt-oss:120b-CLOUD",
            "registry:5000/user/kimi:cloud",
        ] {
            assert!(is_cloud_name(name), "{name}");
        }
        for name in [
            "",
            "llama3",
            "llama3:8b",
            "my-cloud",
            "cloud",
            "cloud:8b",
            "host:cloud/m:8b",
            "m:clouds",
        ] {
            assert!(!is_cloud_name(name), "{name}");
        }
    }
}
