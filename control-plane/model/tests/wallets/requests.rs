//! Whose answer to which request holds, and when.

use crate::vector;
use dgon_control_plane_model::identity::{
    AddressError, Chain, ChainKind, CosmosChainId, EvmChainId, Nonce, Proof, RequestError,
    SignInError, SignInFields, SignInRequest, SiteUri, SolanaCluster, Statement,
};
use dgon_protocol::key::NodeKey;

#[test]
fn what_others_wrote_and_signed_holds() {
    let vectors = vector::all();
    assert_eq!(vectors.len(), 6);
    for vector in vectors {
        let request = &vector.request;
        assert_eq!(request.message(), vector.message, "{}", vector.by);
        let signed = vector.signed.as_ref().unwrap_or(&vector.message);
        assert_eq!(request.signed_bytes(), signed.as_bytes(), "{}", vector.by);
        let account = vector.verify(&vector.proof()).unwrap();
        assert_eq!(account.to_string(), request.fields().address);
        let silent = Proof {
            message: None,
            ..vector.proof()
        };
        assert_eq!(vector.verify(&silent).unwrap(), account);
    }
}

#[test]
fn a_kept_request_is_the_one_that_was_made_and_checked_again() {
    for vector in vector::all() {
        let kept = serde_json::to_string(&vector.request).unwrap();
        let read = |text: &str| serde_json::from_str::<SignInRequest>(text);
        assert_eq!(read(&kept).unwrap(), vector.request);
        for (from, to) in [
            ("00112233445566778899aabbccddeeff", "short"),
            ("http", "HTTP"),
            ("no fee.", "no\\nfee."),
            ("1796040300007", "1796049300007"),
            ("{", r#"{"more":1,"#),
        ] {
            let spoilt = kept.replacen(from, to, 1);
            assert!(spoilt != kept && read(&spoilt).is_err(), "{spoilt}");
        }
    }
}

#[test]
fn a_signature_is_good_for_no_other_request() {
    type Change = fn(&mut SignInFields);
    let others: [(&str, Change); 6] = [
        ("site", |fields| {
            fields.uri = SiteUri::parse("https://dgon.example/sign-in").unwrap();
        }),
        ("page", |fields| {
            fields.uri = SiteUri::parse(format!("{}s", fields.uri)).unwrap();
        }),
        ("statement", |fields| {
            fields.statement = Statement::parse("Link this wallet.").unwrap();
        }),
        ("nonce", |fields| fields.nonce = Nonce::from_random([7; 16])),
        ("issued", |fields| fields.issued_at_ms -= 1),
        ("expires", |fields| fields.expires_at_ms += 1),
    ];
    for vector in vector::all() {
        for (what, change) in others {
            let other = vector.asked_otherwise(change);
            assert_ne!(other.message, vector.message, "{what}");
            let verified = other.verify(&other.proof());
            assert_eq!(verified, Err(SignInError::NotByAccount), "{what}");
            // A client that says what was signed instead is told so, and believed no more.
            let message = Some(vector.message.as_bytes());
            let verified = other.verify(&Proof {
                message,
                ..other.proof()
            });
            assert_eq!(verified, Err(SignInError::MessageDiffers), "{what}");
        }
    }
}

#[test]
fn a_signature_is_good_on_no_other_chain() {
    for vector in vector::all() {
        let other = vector.asked_otherwise(|fields| match &mut fields.chain {
            Chain::Evm { chain_id } => *chain_id = EvmChainId::new(10).unwrap(),
            Chain::Solana { cluster } => *cluster = SolanaCluster::Testnet,
            Chain::Cosmos { chain_id, .. } => *chain_id = CosmosChainId::parse("other-1").unwrap(),
        });
        let verified = other.verify(&other.proof());
        assert_eq!(verified, Err(SignInError::NotByAccount));
    }
}

#[test]
fn a_signature_is_good_for_no_other_account() {
    for pair in vector::all().chunks_exact(2) {
        let [first, second] = pair else {
            unreachable!("chunks of two")
        };
        let error = match first.kind() {
            // The key comes along, and is another's.
            ChainKind::Cosmos => SignInError::PublicKeyOfOther,
            ChainKind::Evm | ChainKind::Solana => SignInError::NotByAccount,
        };
        for (one, other) in [(first, second), (second, first)] {
            let answer = Proof {
                message: None,
                ..other.proof()
            };
            assert_eq!(one.verify(&answer), Err(error));
            let verified = one.verify_signature(&other.signature);
            assert_eq!(verified, Err(SignInError::NotByAccount));
        }
    }
}

#[test]
fn a_text_that_a_wallet_made_of_nothing_is_refused() {
    // With no input at all a Solana wallet signs a text without nonce and times, which would be good for ever.
    let vector = vector::of(ChainKind::Solana).next().unwrap();
    let key = NodeKey::from_seed(&std::array::from_fn(|at| at as u8 + 1));
    let sign = |text: &str| vector.encode(&key.sign(text.as_bytes()));
    assert_eq!(sign(&vector.message), vector.signature);
    let least: Vec<&str> = vector.message.lines().take(2).collect();
    let least = least.join("\n");
    let signature = sign(&least);
    for (message, error) in [
        (Some(least.as_bytes()), SignInError::MessageDiffers),
        (Some(vector.message.as_bytes()), SignInError::NotByAccount),
        (None, SignInError::NotByAccount),
    ] {
        let answer = Proof {
            signature: &signature,
            public_key: None,
            message,
        };
        assert_eq!(vector.verify(&answer), Err(error));
    }
}

#[test]
fn an_answer_has_its_time() {
    for vector in vector::all() {
        let SignInFields {
            issued_at_ms,
            expires_at_ms,
            ..
        } = *vector.request.fields();
        let verify = |now_ms| vector.request.verify(&vector.proof(), now_ms).map(drop);
        for (now_ms, verified) in [
            (i64::MIN, Err(SignInError::NotYetValid)),
            (issued_at_ms - 60_001, Err(SignInError::NotYetValid)),
            (issued_at_ms - 60_000, Ok(())),
            (expires_at_ms - 1, Ok(())),
            (expires_at_ms, Err(SignInError::Expired)),
            (i64::MAX, Err(SignInError::Expired)),
        ] {
            assert_eq!(verify(now_ms), verified, "{now_ms}");
        }
    }
}

#[test]
fn a_request_has_its_bounds() {
    for vector in vector::all() {
        let make = |issued_at_ms, expires_at_ms| {
            let fields = SignInFields {
                issued_at_ms,
                expires_at_ms,
                ..vector.request.fields().clone()
            };
            SignInRequest::new(fields).map(drop)
        };
        // The calendar ends on the last day but one of the year 9999.
        for (issued_at_ms, expires_at_ms) in
            [(0, 600_000), (253_402_200_000_000, 253_402_200_600_000)]
        {
            assert_eq!(make(issued_at_ms, expires_at_ms), Ok(()), "{issued_at_ms}");
        }
        for (issued_at_ms, expires_at_ms) in [
            (0, 600_001),
            (0, 0),
            (1, 0),
            (-1, 1),
            (i64::MIN, i64::MAX),
            (i64::MAX - 1, i64::MAX),
            (253_402_300_799_999, 253_402_300_800_000),
        ] {
            let made = make(issued_at_ms, expires_at_ms);
            assert_eq!(made, Err(RequestError::Times), "{issued_at_ms}");
        }
    }
}

#[test]
fn a_solana_wallet_gets_every_field() {
    for vector in vector::all() {
        let input = serde_json::to_value(vector.request.solana_input()).unwrap();
        let Chain::Solana { cluster } = vector.request.fields().chain else {
            assert!(input.is_null());
            continue;
        };
        let expected = serde_json::json!({
            "domain": "console.dgon.example",
            "address": vector.request.fields().address,
            "statement": "Sign in to DGON (it's free): no transaction, no fee.",
            "uri": "https://console.dgon.example/sign-in",
            "version": "1",
            "chainId": cluster.as_str(),
            "nonce": "00112233445566778899aabbccddeeff",
            "issuedAt": "2026-11-30T12:00:00.007Z",
            "expirationTime": "2026-11-30T12:05:00.007Z",
        });
        assert_eq!(input, expected);
    }
}

#[test]
fn an_address_is_made_canonical_before_it_is_asked_for() {
    for vector in vector::of(ChainKind::Evm) {
        let lower = vector.asked_otherwise(|fields| fields.address.make_ascii_lowercase());
        assert_eq!(lower.request, vector.request);
        let mut fields = vector.request.fields().clone();
        let digits = fields.address.split_off(2);
        let turned = |c: char| match c.is_ascii_lowercase() {
            true => c.to_ascii_uppercase(),
            false => c.to_ascii_lowercase(),
        };
        fields.address.extend(digits.chars().map(turned));
        let made = SignInRequest::new(fields);
        assert_eq!(made, Err(RequestError::Address(AddressError::EvmChecksum)));
    }
}

#[test]
fn an_address_of_another_chain_is_not_asked_for() {
    let vectors = vector::all();
    for (at, vector) in vectors.iter().enumerate() {
        for (of, other) in vectors.iter().enumerate() {
            let is_shared = at == of || (at / 2 == of / 2 && vector.kind() != ChainKind::Cosmos);
            let mut fields = vector.request.fields().clone();
            fields.address.clone_from(&other.request.fields().address);
            assert_eq!(SignInRequest::new(fields).is_ok(), is_shared, "{at} {of}");
        }
    }
}
