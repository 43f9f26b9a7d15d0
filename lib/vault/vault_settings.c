#include "vault/vault_parts.h"

const struct config_key vault_settings_keys[] = {
    CONFIG_TEXT(struct vault_settings, swarm_root, "swarm-root", NULL,
                "the swarm's root key, from the invite"),
    CONFIG_TEXT(struct vault_settings, coordinator, "coordinator", NULL, "the coordinator's ID"),
    CONFIG_LIST(struct vault_settings, addresses, "address", "where the coordinator is reached"),
    CONFIG_TEXT(struct vault_settings, redundancy, "redundancy", NULL,
                "data and parity shards, \"4+2\"; empty: what fits the swarm"),
    CONFIG_TEXT(struct vault_settings, swarm_redundancy, "swarm-redundancy", NULL,
                "what the swarm asks for where nothing else is said"),
    CONFIG_NUMBER(struct vault_settings, compression, "compression", "3", 0, 19,
                  "zstd's level, 0 for none; small files, packed together, take two less"),
    CONFIG_NUMBER(struct vault_settings, upload_kib_s, "limit-upload", "0", 0, UINT32_MAX,
                  "KiB a second that may be sent, 0 for no limit"),
    CONFIG_BOOL(struct vault_settings, check_before_upload, "check-before-upload", "no",
                "open every segment again before it is sent, to find bad memory"),
};
const size_t vault_settings_key_count = ARRAY_COUNT(vault_settings_keys);
