//! `receipt verify`: bytes and a public key in, a verdict out. No network, no state but the node's own key.
//!
//! Exit 0 where every file is valid, 1 where one is not, 2 where one cannot be read; the worst wins. What a
//! verdict does not prove is said with it.

use super::super::{Context, UsageError, print};
use crate::cli::Verify;
use crate::identity::{self, IdentityError};
use anyhow::Result;
use dgon_protocol::key::PublicKey;
use dgon_protocol::limits::RECEIPT_BYTES;
use dgon_protocol::receipt::{Receipt, ReceiptError, Verdict, Version};
use serde_json::{Value, json};
use std::error::Error as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;

const CHECKED: &str =
    "strict JSON, every rule of the receipt table, the Ed25519 signature over the canonical bytes";
const NOT_PROVEN: &str = "that the key belongs to the node it names, that the network accepted the receipt, or \
                          that the work was done";

/// What is said of one file.
struct Report {
    exit: u8,
    json: Value,
    text: String,
}

/// The key to verify with, and where it comes from.
struct Signer {
    key: PublicKey,
    origin: &'static str,
}

pub(super) fn run(
    context: impl FnOnce() -> Result<Context>,
    arguments: &Verify,
) -> Result<ExitCode> {
    let signer = signer(context, arguments.public_key.as_deref())?;
    let dash = |file: &&std::path::PathBuf| file.as_os_str() == "-";
    if arguments.files.iter().filter(dash).count() > 1 {
        return Err(UsageError("standard input (-) can be read only once".to_owned()).into());
    }
    let reports: Vec<Report> = arguments
        .files
        .iter()
        .map(|file| report(file, &signer))
        .collect();
    if !arguments.json {
        let texts: Vec<&str> = reports.iter().map(|report| report.text.as_str()).collect();
        print::out(&texts.join("\n"))?;
    } else if let [only] = reports.as_slice() {
        print::json(&only.json)?;
    } else {
        let all: Vec<&Value> = reports.iter().map(|report| &report.json).collect();
        print::json(&all)?;
    }
    let worst = reports.iter().map(|report| report.exit).max();
    Ok(ExitCode::from(worst.unwrap_or(0)))
}

fn signer(context: impl FnOnce() -> Result<Context>, given: Option<&str>) -> Result<Signer> {
    if let Some(text) = given {
        let key = PublicKey::parse(text.trim())
            .map_err(|error| UsageError(format!("--public-key cannot be used: {error}")))?;
        return Ok(Signer {
            key,
            origin: "given with --public-key",
        });
    }
    match identity::load_key(&context()?.paths.state) {
        Ok(key) => Ok(Signer {
            key: key.public(),
            origin: "this node's own",
        }),
        Err(IdentityError::NotEnrolled(_)) => Err(UsageError(
            "this machine has no key of its own to verify with; name the signer's with --public-key ed25519:…"
                .to_owned(),
        )
        .into()),
        Err(error) => Err(error.into()),
    }
}

/// Reads one byte more than a receipt may have: enough to refuse it, and no more memory.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    let limit = RECEIPT_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    if file.as_os_str() == "-" {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        File::open(file)?.take(limit).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn report(file: &Path, signer: &Signer) -> Report {
    let name = print::safe(&file.display().to_string());
    let bytes = match read(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            let message = format!("cannot read the file: {error}");
            return Report {
                exit: 2,
                json: json!({"file": file.display().to_string(), "verdict": "unreadable", "message": message}),
                text: format!("{name}: unreadable\n  {message}\n"),
            };
        }
    };
    match Receipt::parse(&bytes) {
        Err(error) => {
            let message = reason(&error);
            let verdict = Verdict::InvalidReceipt.as_str();
            Report {
                exit: 1,
                json: json!({"file": file.display().to_string(), "verdict": verdict, "message": message}),
                text: format!("{name}: {verdict}\n  {message}\n"),
            }
        }
        Ok(receipt) => judged(file, &name, &receipt, signer),
    }
}

/// The sentence of why bytes are no receipt, with its cause.
fn reason(error: &ReceiptError) -> String {
    match (error, error.source()) {
        (ReceiptError::TooLarge { .. }, _) => {
            format!("a receipt has at most {RECEIPT_BYTES} bytes, this has more")
        }
        (error, Some(cause)) => format!("{error}: {cause}"),
        (error, None) => error.to_string(),
    }
}

fn judged(file: &Path, name: &str, receipt: &Receipt<'_>, signer: &Signer) -> Report {
    let holds = receipt.verify(&signer.key);
    let verdict = if holds {
        Verdict::Valid
    } else {
        Verdict::InvalidSignature
    };
    let message = if holds {
        format!("the signature holds under the key {}", signer.origin)
    } else {
        mismatch(receipt, signer)
    };
    let fields = &receipt.fields;
    let mut json = json!({
        "file": file.display().to_string(),
        "verdict": verdict,
        "message": message,
        "version": fields.version,
        "request_id": fields.request_id,
        "node_id": fields.node_id,
        "seq": fields.seq,
        "key_id": signer.key.key_id(),
        "public_key": signer.key,
        "entry_sha256": receipt.entry_hash().to_hex(),
    });
    if holds {
        json["checked"] = CHECKED.into();
        json["not_proven"] = NOT_PROVEN.into();
    }
    Report {
        exit: u8::from(!holds),
        json,
        text: text(name, receipt, signer, verdict, &message),
    }
}

/// Why the signature may not hold: another key is the most common cause.
fn mismatch(receipt: &Receipt<'_>, signer: &Signer) -> String {
    match &receipt.fields.key_id {
        Some(named) if *named != signer.key.key_id() => format!(
            "the signature does not hold under the key {}: the receipt names the key id {}, this key's is {}",
            signer.origin,
            print::safe(named),
            signer.key.key_id()
        ),
        _ => format!(
            "the signature does not hold under the key {}: another key signed, or the receipt was changed",
            signer.origin
        ),
    }
}

fn text(
    name: &str,
    receipt: &Receipt<'_>,
    signer: &Signer,
    verdict: Verdict,
    message: &str,
) -> String {
    let fields = &receipt.fields;
    let version = match fields.version {
        Version::V1_0 => "1.0",
        Version::V1_1 => "1.1",
    };
    let place = fields
        .seq
        .map_or(String::new(), |seq| format!(", number {seq} of its chain"));
    let mut text = format!(
        "{name}: {}\n  {message}\n  receipt     {} of node {}, version {version}{place}\n  \
         model       {}, {} tokens in, {} out\n  key         {} (id {})\n  entry       {}\n",
        verdict.as_str(),
        fields.request_id,
        fields.node_id,
        print::safe(&fields.model_id),
        fields.tokens_input,
        fields.tokens_output,
        signer.key,
        signer.key.key_id(),
        receipt.entry_hash(),
    );
    if verdict == Verdict::Valid {
        text.push_str(&format!(
            "  checked     {CHECKED}\n  not proven  {NOT_PROVEN}\n"
        ));
    }
    text
}
