//! Names of models that Ollama has served elsewhere.
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

#[cfg(test)]
mod tests {
    use super::*;

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
