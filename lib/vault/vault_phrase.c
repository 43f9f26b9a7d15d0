#include "vault/vault_phrase.h"

#include "identity/phrase.h"
#include "vault/vault_phrase_internal.h"

enum err vault_phrase_open(const struct vault *vault, const char *words, struct vault_root **out,
                           struct errmsg *msg)
{
    struct vault_root *root = secret_new(sizeof(*root));
    uint8_t *entropy = secret_new(PHRASE_ENTROPY_SIZE);
    enum err e = root && entropy ? ERR_OK : err_say(msg, ERR_NOMEM, "out of memory");
    if (e == ERR_OK)
        e = phrase_decode(words, entropy, msg);
    if (e == ERR_OK) {
        e = account_keys_derive(entropy, &vault->swarm_root, &root->keys);
        if (e != ERR_OK)
            (void)err_say(msg, e, "cannot make the account's keys from the phrase");
    }
    if (e == ERR_OK && !id_equal(&root->keys.account, &vault->account))
        e = err_say(msg, ERR_SECRET,
                    "these words are a recovery phrase, but of another account than this vault's");
    secret_free(entropy);
    if (e != ERR_OK) {
        vault_phrase_close(root);
        return e;
    }
    *out = root;
    return ERR_OK;
}

void vault_phrase_close(struct vault_root *root)
{
    if (!root)
        return;
    account_keys_clear(&root->keys);
    secret_free(root);
}
