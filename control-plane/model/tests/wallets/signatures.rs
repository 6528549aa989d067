//! Signatures that are nearly right.

use crate::vector::{self, bytes_of};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dgon_control_plane_model::identity::{
    AddressError, ChainKind, Proof, RequestError, SignInError, SignInRequest,
};
use k256::ecdsa::Signature;
use proptest::prelude::*;

#[test]
fn no_signature_has_a_flipped_bit() {
    for vector in vector::all() {
        let bytes = vector.bytes();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(vector.verify_bytes(&flipped).is_err(), "{bit}");
        }
    }
}

#[test]
fn no_signature_is_cut_lengthened_or_padded() {
    for vector in vector::all() {
        let (text, bytes) = (&vector.signature, vector.bytes());
        for bad in [
            String::new(),
            text[..text.len() - 2].to_owned(),
            text[1..].to_owned(),
            format!("{text}00"),
            format!(" {text}"),
            format!("{text}\n"),
            vector.encode(&bytes[..bytes.len() - 1]),
            vector.encode(&[&bytes[..], &[0]].concat()),
            "é".repeat(text.len() / 2),
            text.repeat(100_000),
        ] {
            let error = vector.verify_signature(&bad).unwrap_err();
            let is_form = matches!(error, SignInError::SignatureForm { .. });
            assert!(is_form, "{} {error:?}", bad.len());
        }
    }
}

#[test]
fn no_signature_is_written_otherwise() {
    for vector in vector::all() {
        let text = &vector.signature;
        let bad = match vector.kind() {
            ChainKind::Evm => vec![
                text.replacen("0x", "0X", 1),
                text.replacen("0x", "00", 1),
                format!("{}g", &text[..text.len() - 1]),
                // Without the last byte, as EIP-2098 has it.
                vector.encode(&vector.bytes()[..64]),
            ],
            ChainKind::Solana | ChainKind::Cosmos => {
                let (before, last) = text.split_at(85);
                let last = last.as_bytes()[0];
                vec![
                    // With a bit that is of no byte.
                    format!("{before}{}==", char::from(last + 1)),
                    text.replace('+', "-").replace('/', "_"),
                    format!("{before}{}AA", char::from(last)),
                    format!("{before}{}  ", char::from(last)),
                ]
            }
        };
        for bad in bad.iter().filter(|bad| *bad != text) {
            let error = vector.verify_signature(bad).unwrap_err();
            let is_form = matches!(error, SignInError::SignatureForm { .. });
            assert!(is_form, "{bad} {error:?}");
        }
    }
}

#[test]
fn hex_of_either_case_is_one_signature() {
    for vector in vector::of(ChainKind::Evm) {
        let upper = format!("0x{}", vector.signature[2..].to_uppercase());
        assert!(vector.verify_signature(&upper).is_ok());
    }
}

#[test]
fn the_twin_of_a_signature_is_refused() {
    for vector in vector::ecdsa() {
        let mut bytes = vector.bytes();
        let signature = Signature::from_slice(&bytes[..64]).unwrap();
        let (r, s) = signature.split_scalars();
        let twin = Signature::from_scalars(r, -s).unwrap();
        bytes[..64].copy_from_slice(&twin.to_bytes());
        if let Some(v) = bytes.get_mut(64) {
            // The other of 27 and 28: with it the twin is by the same key.
            *v = 55 - *v;
        }
        assert_eq!(vector.verify_bytes(&bytes), Err(SignInError::HighS));
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    let order = bytes_of("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
    for vector in vector::ecdsa() {
        for (at, number) in [(0, &[0; 32][..]), (32, &[0; 32]), (0, &order), (32, &order)] {
            let mut bytes = vector.bytes();
            bytes[at..at + 32].copy_from_slice(number);
            let verified = vector.verify_bytes(&bytes);
            assert_eq!(verified, Err(SignInError::OutOfRange), "{at}");
        }
    }
}

#[test]
fn an_r_that_is_no_point_recovers_nothing() {
    for vector in vector::of(ChainKind::Evm) {
        // 5 is no x of secp256k1.
        let mut bytes = vector.bytes();
        bytes[..32].fill(0);
        bytes[31] = 5;
        assert_eq!(vector.verify_bytes(&bytes), Err(SignInError::NotByAccount));
    }
}

#[test]
fn an_ethereum_signature_ends_with_27_or_28() {
    for vector in vector::of(ChainKind::Evm) {
        let mut bytes = vector.bytes();
        let right = bytes[64];
        for v in 0..=255 {
            bytes[64] = v;
            let expected = match v {
                _ if v == right => Ok(()),
                27 | 28 => Err(SignInError::NotByAccount),
                _ => Err(SignInError::RecoveryByte),
            };
            assert_eq!(vector.verify_bytes(&bytes).map(drop), expected, "{v}");
        }
    }
}

#[test]
fn an_ed25519_signature_has_a_reduced_s() {
    // The order of the group, little-endian: s and s + order are the twins that RFC 8032 forbids.
    let order = bytes_of("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    for vector in vector::of(ChainKind::Solana) {
        let mut bytes = vector.bytes();
        let mut carry = 0;
        for (byte, more) in bytes[32..].iter_mut().zip(&order) {
            let sum = u16::from(*byte) + u16::from(*more) + carry;
            [*byte, _] = sum.to_le_bytes();
            carry = sum >> 8;
        }
        assert_eq!(vector.verify_bytes(&bytes), Err(SignInError::NotByAccount));
    }
}

#[test]
fn a_key_of_mixed_order_has_no_account_though_its_signature_holds() {
    let refused = vector::mixed_order();
    let key = bs58::decode(&refused.request.address).into_vec().unwrap();
    let made = SignInRequest::new(refused.request);
    assert_eq!(made, Err(RequestError::Address(AddressError::SolanaNoKey)));
    // It is the key alone that is wrong with it.
    let key = dgon_protocol::key::PublicKey::from_bytes(key.try_into().unwrap());
    let signature = STANDARD.decode(refused.signature).unwrap();
    assert!(key.verify(refused.message.as_bytes(), &signature.try_into().unwrap()));
}

#[test]
fn a_cosmos_answer_brings_its_compressed_key() {
    for vector in vector::of(ChainKind::Cosmos) {
        let verify = |public_key: Option<&str>| {
            let proof = vector.proof();
            vector.verify(&Proof {
                public_key,
                ..proof
            })
        };
        assert_eq!(verify(None), Err(SignInError::PublicKeyMissing));
        let key = vector.public_key.as_deref().unwrap();
        let bytes = STANDARD.decode(key).unwrap();
        let long = k256::ecdsa::VerifyingKey::from_sec1_bytes(&bytes).unwrap();
        for bad in [
            String::new(),
            key[1..].to_owned(),
            format!("{key}AAAA"),
            format!("{} ", &key[..43]),
            STANDARD.encode(long.to_sec1_point(false).as_bytes()),
            // x alone, in the compact form that SEC 1 does not have.
            STANDARD.encode([&[5], &bytes[1..]].concat()),
            STANDARD.encode([0; 33]),
        ] {
            assert_eq!(verify(Some(&bad)), Err(SignInError::PublicKeyForm), "{bad}");
        }
        // The key with the other sign.
        let mut other = bytes;
        other[0] ^= 1;
        let other = STANDARD.encode(other);
        assert_eq!(verify(Some(&other)), Err(SignInError::PublicKeyOfOther));
    }
}

proptest! {
    #[test]
    fn nothing_that_is_sent_panics_or_proves(
        which in 0..6_usize,
        signature in prop_oneof![".{0,140}", "0x[0-7][0-9a-f]{63}[0-7][0-9a-f]{63}1[bc]", "[A-Za-z0-9+/]{85}[AQgw]=="],
        public_key in prop::option::of(prop_oneof![".{0,50}", "A[gw][A-Za-z0-9+/]{42}"]),
        own_key: bool,
    ) {
        let vector = &vector::all()[which];
        let public_key = if own_key { vector.public_key.as_deref() } else { public_key.as_deref() };
        let proof = Proof { signature: &signature, public_key, message: None };
        prop_assert!(vector.verify(&proof).is_err());
    }
}
