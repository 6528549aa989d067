//! How a person gets in, and what has to stay of it: asked in transactions that have their account.

/// Whether a sign-in of a person lasts, in a transaction that has their account: what it opens outlasts it, so one that was ended
/// meanwhile opens nothing.
macro_rules! sign_in_lasts_on {
    ($tx:expr, $user_id:expr, $family_id:expr, $at_ms:expr, $op:literal) => {{
        let (open,): (i64,) = sqlx::query_as(
            "SELECT COUNT(*) FROM session_families WHERE family_id = $2 AND user_id = $1 \
             AND revoked_at_ms IS NULL AND expires_at_ms > $3",
        )
        .bind($user_id)
        .bind($family_id)
        .bind($at_ms)
        .fetch_one(&mut **$tx)
        .await
        .map_err($crate::StoreError::query($op))?;
        open == 1
    }};
}
pub(crate) use sign_in_lasts_on;

/// Whether somebody has a way in that is theirs and counts: a password or a wallet. An account at an issuer of OpenID Connect
/// signs in, but does not count: who runs the issuer, or takes it from the settings, would shut its people out.
macro_rules! can_sign_in {
    ($user:literal) => {
        concat!(
            "(",
            $user,
            ".password_hash IS NOT NULL OR EXISTS (SELECT 1 FROM wallets w WHERE w.user_id = ",
            $user,
            ".user_id))"
        )
    };
}
pub(crate) use can_sign_in;

/// Whether a person has a way in that counts: of two that are taken away at once, the second sees that the first is gone.
macro_rules! way_in_is_left_on {
    ($tx:expr, $user_id:expr, $op:literal) => {{
        let (ways,): (i64,) = sqlx::query_as(concat!(
            "SELECT COUNT(*) FROM users u WHERE u.user_id = $1 AND ",
            $crate::ways_in::can_sign_in!("u")
        ))
        .bind($user_id)
        .fetch_one(&mut **$tx)
        .await
        .map_err($crate::StoreError::query($op))?;
        ways == 1
    }};
}
pub(crate) use way_in_is_left_on;

/// Ends a person's sign-ins by a method, but `family_id`. By which wallet or identity one was is not kept: whoever it is signs
/// in anew.
macro_rules! end_sign_ins_by_on {
    ($tx:expr, $user_id:expr, $method:literal, $family_id:expr, $at_ms:expr, $op:literal) => {
        sqlx::query(
            "UPDATE session_families SET revoked_at_ms = $2, revoke_reason = $4 \
             WHERE user_id = $1 AND method = $4 AND family_id <> $3 AND revoked_at_ms IS NULL",
        )
        .bind($user_id)
        .bind($at_ms)
        .bind($family_id)
        .bind($method)
        .execute(&mut **$tx)
        .await
        .map_err($crate::StoreError::query($op))?
    };
}
pub(crate) use end_sign_ins_by_on;
