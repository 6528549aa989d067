//! Which LLM runtime a process on a card belongs to, told by its command line.

/// Words of command lines and the runtime they tell, as the wire names it. The first that fits wins.
const KNOWN: [(&str, &str); 10] = [
    ("ollama", "ollama"),
    ("llama-server", "llama.cpp"),
    ("llama_cpp.server", "llama.cpp"),
    ("vllm", "vllm"),
    ("text-generation-server", "tgi"),
    ("text-generation-launcher", "tgi"),
    ("text_generation_server", "tgi"),
    ("trtllm", "tensorrt-llm"),
    ("tensorrt_llm", "tensorrt-llm"),
    ("tritonserver", "tensorrt-llm"),
];
/// Words of a command line that are looked at: the program, an interpreter's module, the subcommand.
const WORDS: usize = 4;

/// The runtime of a command line. Only its first words count: a path to a model may hold any name.
pub(super) fn runtime_of(command_line: &str) -> Option<&'static str> {
    let words: Vec<String> = command_line
        .split_whitespace()
        .take(WORDS)
        // Options can hold paths too; the module after `-m` is a word of its own.
        .filter(|word| !word.contains('='))
        .map(|word| file_name(word).to_ascii_lowercase())
        .collect();
    let is = |name: &str| words.iter().any(|word| word.starts_with(name));
    KNOWN
        .into_iter()
        .find(|(name, _)| is(name))
        .map(|(_, runtime)| runtime)
}

/// The program of a command line, without its folder.
pub(super) fn program_of(command_line: &str) -> Option<String> {
    let program = file_name(command_line.split_whitespace().next()?);
    (!program.is_empty()).then(|| program.to_owned())
}

fn file_name(word: &str) -> &str {
    word.rsplit(['/', '\\']).next().unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes_are_known_by_their_commands() {
        for (command_line, runtime) in [
            (
                "/usr/local/bin/ollama runner --model /m/vllm.gguf --port 4",
                Some("ollama"),
            ),
            (
                "/opt/llama.cpp/llama-server -m /models/a.gguf",
                Some("llama.cpp"),
            ),
            ("python3 -m llama_cpp.server --model x", Some("llama.cpp")),
            (
                "/usr/bin/python3 /usr/local/bin/vllm serve meta/Llama",
                Some("vllm"),
            ),
            (
                "python3 -m vllm.entrypoints.openai.api_server",
                Some("vllm"),
            ),
            ("VLLM::EngineCore", Some("vllm")),
            (
                "/opt/conda/bin/python3.10 /opt/conda/bin/text-generation-server serve x",
                Some("tgi"),
            ),
            (
                "/usr/bin/python3 /usr/local/bin/trtllm-serve meta/Llama",
                Some("tensorrt-llm"),
            ),
            (
                "/opt/tritonserver/bin/tritonserver --model-repository=/m",
                Some("tensorrt-llm"),
            ),
            (
                "C:\\Program Files\\Ollama\\ollama.exe serve",
                Some("ollama"),
            ),
            ("C:\\Ollama\\ollama.exe serve", Some("ollama")),
            ("/usr/lib/xorg/Xorg :0", None),
            ("python3 train.py --out=/home/me/vllm", None),
            ("blender -b -o /srv/a /srv/ollama/scene", None),
            ("", None),
        ] {
            assert_eq!(runtime_of(command_line), runtime, "{command_line}");
        }
        assert_eq!(program_of("/usr/bin/python3 -m vllm").unwrap(), "python3");
        assert_eq!(program_of(" "), None);
    }
}
