# Homebrew formula, for macOS and Linux: builds the agent from the source archive that `cargo xtask package` makes.
# `brew install --formula ./dgon-agent.rb`, then `dgon-agent enroll` and `brew services start dgon-agent`.
class DgonAgent < Formula
  desc "Meters the LLM runtime of this machine and signs receipts"
  homepage "@HOMEPAGE@"
  url "@URL@"
  version "@VERSION@"
  sha256 "@SHA256@"
  license "Apache-2.0"

  depends_on "rust" => :build

  def install
    ENV["DGON_COMMIT"] = "@COMMIT@"
    ENV["SOURCE_DATE_EPOCH"] = "@EPOCH@"
    system "cargo", "install", *std_cargo_args(path: "agent")
    generate_completions_from_executable(bin/"dgon-agent", "completions")
    man1.install Dir["man/*.1"]
  end

  def caveats
    <<~EOS
      Enrol this machine once, as the user who runs the service:
        dgon-agent enroll --api https://YOUR-CONTROL-PLANE
    EOS
  end

  service do
    run [opt_bin/"dgon-agent", "run"]
    keep_alive successful_exit: false
    throttle_interval 10
    process_type :background
    log_path var/"log/dgon-agent.log"
    error_log_path var/"log/dgon-agent.log"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/dgon-agent --version")
    # A file that is no receipt: exit code 2.
    (testpath/"receipt.json").write "not a receipt"
    shell_output("#{bin}/dgon-agent receipt verify #{testpath}/receipt.json", 2)
  end
end
