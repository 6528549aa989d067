//! `receipt verify`: bytes and a public key in, a verdict out. No network, no state but the node's own key.
//!
//! Exit 0 where every file is valid, 1 where one is not, 2 where one cannot be read; the worst wins. What a
//! verdict does not prove is said with it.

use super::super::{Context, UsageError, print};
use crate::cli::Verify;
use crate::evidence;
use crate::identity::{self, IdentityError};
use crate::rotation::files;
use anyhow::Result;
use dgon_protocol::key::PublicKey;
use dgon_protocol::limits::RECEIPT_BYTES;
use dgon_protocol::receipt::{Receipt, ReceiptError, Verdict, Version};
use serde_json::{Value, json};
use std::cell::LazyCell;
use std::error::Error as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;

const CHECKED: &str =
    "strict JSON, every rule of the receipt table, the Ed25519 signature over the canonical bytes";
const NOT_PROVEN: &str = "that the key belongs to the node it names, that the network accepted the receipt, or \
                          that the work was done";

/// How every bundle begins: its members are sorted.
const BUNDLE_START: &[u8] = b"{\"agent_version\":";
/// Largest bundle that is read, bytes.
const BUNDLE_BYTES: u64 = 1024 * 1024 * 1024;

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
    if arguments.proof.is_some() {
        return Err(UsageError(
            "--proof cannot be checked: the network keeps no transparency log yet, so no proof of inclusion exists; \
             without it the signature and, for a bundle, the chain are verified"
                .to_owned(),
        )
        .into());
    }
    let signers = LazyCell::new(|| signers(context, arguments.public_key.as_deref()));
    let dash = |file: &&std::path::PathBuf| file.as_os_str() == "-";
    if arguments.files.iter().filter(dash).count() > 1 {
        return Err(UsageError("standard input (-) can be read only once".to_owned()).into());
    }
    let known = match &arguments.public_key {
        Some(text) => Some(parse_key(text)?),
        None => None,
    };
    let mut reports = Vec::new();
    for file in &arguments.files {
        reports.push(match read(file) {
            Err(error) => unreadable(file, &error),
            Ok(bytes) if bytes.starts_with(BUNDLE_START) => bundle(file, &bytes, known.as_ref()),
            Ok(bytes) => match &*signers {
                Ok(signers) => report(file, &bytes, signers),
                Err(error) => return Err(again(error)),
            },
        });
    }
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

fn parse_key(text: &str) -> Result<PublicKey, UsageError> {
    PublicKey::parse(text.trim())
        .map_err(|error| UsageError(format!("--public-key cannot be used: {error}")))
}

/// The keys that may have signed: the one that was given, else all that this node ever had.
fn signers(context: impl FnOnce() -> Result<Context>, given: Option<&str>) -> Result<Vec<Signer>> {
    if let Some(text) = given {
        return Ok(vec![Signer {
            key: parse_key(text)?,
            origin: "given with --public-key",
        }]);
    }
    let state = context()?.paths.state;
    let own = match identity::load_key(&state) {
        Ok(key) => key.public(),
        Err(IdentityError::NotEnrolled(_)) => {
            return Err(UsageError(
                "this machine has no key of its own to verify with; name the signer's with --public-key ed25519:…"
                    .to_owned(),
            )
            .into());
        }
        Err(error) => return Err(error.into()),
    };
    let mut signers = vec![Signer {
        key: own,
        origin: "this node's own",
    }];
    signers.extend(
        files::history(&state, &own)?
            .into_iter()
            .map(|record| Signer {
                key: record.rotation.old_key,
                origin: "this node's own until it was changed",
            }),
    );
    Ok(signers)
}

/// The same error for a second file.
fn again(error: &anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<UsageError>() {
        Some(UsageError(text)) => UsageError(text.clone()).into(),
        None => anyhow::anyhow!("{error:#}"),
    }
}

/// Reads one byte more than a receipt may have, enough to refuse it and no more memory; of a bundle all.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut source: Box<dyn Read> = if file.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(file)?)
    };
    let mut bytes = Vec::new();
    (&mut source)
        .take(RECEIPT_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    if bytes.starts_with(BUNDLE_START) {
        source.take(BUNDLE_BYTES).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn unreadable(file: &Path, error: &io::Error) -> Report {
    let name = print::safe(&file.display().to_string());
    let message = format!("cannot read the file: {error}");
    Report {
        exit: 2,
        json: json!({"file": file.display().to_string(), "verdict": "unreadable", "message": message}),
        text: format!("{name}: unreadable\n  {message}\n"),
    }
}

/// What a bundle proves, and what not.
fn bundle(file: &Path, bytes: &[u8], known: Option<&PublicKey>) -> Report {
    let name = print::safe(&file.display().to_string());
    match evidence::verify::verify(bytes, known) {
        Err(error) => {
            let message = error.to_string();
            Report {
                exit: 1,
                json: json!({
                    "file": file.display().to_string(), "verdict": "invalid_bundle", "message": message,
                }),
                text: format!("{name}: invalid_bundle\n  {}\n", print::safe(&message)),
            }
        }
        Ok(proof) => {
            let mut text = format!(
                "{name}: valid\n  bundle      {} receipts of node {} under {} key(s)\n  last key    {} (id {})\n",
                proof.receipts,
                proof.node_id,
                proof.key_ids.len(),
                proof.public_key,
                proof.public_key.key_id(),
            );
            for (title, lines) in [
                ("proven      ", &proof.proves),
                ("not in it   ", &proof.not_in_it),
                ("not proven  ", &proof.not_proven),
            ] {
                for line in lines {
                    text.push_str(&format!("  {title}{line}\n"));
                }
            }
            let mut json = json!(proof);
            json["file"] = file.display().to_string().into();
            json["verdict"] = "valid".into();
            Report {
                exit: 0,
                json,
                text,
            }
        }
    }
}

fn report(file: &Path, bytes: &[u8], signers: &[Signer]) -> Report {
    let name = print::safe(&file.display().to_string());
    match Receipt::parse(bytes) {
        Err(error) => {
            let message = reason(&error);
            let verdict = Verdict::InvalidReceipt.as_str();
            Report {
                exit: 1,
                json: json!({"file": file.display().to_string(), "verdict": verdict, "message": message}),
                text: format!("{name}: {verdict}\n  {message}\n"),
            }
        }
        Ok(receipt) => judged(file, &name, &receipt, signer_of(&receipt, signers)),
    }
}

/// The key that the receipt names, else the first one.
fn signer_of<'a>(receipt: &Receipt<'_>, signers: &'a [Signer]) -> &'a Signer {
    let named = receipt.fields.key_id.as_deref();
    let found = signers
        .iter()
        .find(|signer| Some(signer.key.key_id().as_str()) == named);
    // There is always a first.
    found.unwrap_or(&signers[0])
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
        print::input_tokens(fields.tokens_source, fields.tokens_input),
        print::output_tokens(fields.tokens_source, fields.tokens_output),
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
