#include "ctl.h"

#include <limits.h>
#include <string.h>

#define FLAG(name_, letter_, value_, kind_, field_, help_)                        \
    {                                                                             \
        .name = (name_), .letter = (letter_), .value = (value_), .kind = (kind_), \
        .offset = offsetof(struct ctl_options, field_), .help = (help_)           \
    }
#define SWITCH(name_, field_, help_)       FLAG(name_, 0, NULL, CTL_BOOL, field_, help_)
#define TEXT(name_, value_, field_, help_) FLAG(name_, 0, value_, CTL_TEXT, field_, help_)
#define LIST(name_, value_, field_, help_) FLAG(name_, 0, value_, CTL_LIST, field_, help_)
#define FLAGS(list)                        .flags = (list), .flag_count = ARRAY_COUNT(list)

static const struct ctl_flag init_flags[] = {
    TEXT("invite", "STRING", invite, "the invite, \"cellar-...\""),
    TEXT("phrase-file", "FILE", phrase_file,
         "write the 24 words there (0600) instead of showing them"),
    SWITCH("no-passphrase", no_passphrase, "keep a key file, for a machine that starts alone"),
    TEXT("redundancy", "K+M", redundancy, "data and parity shards, instead of what the swarm says"),
    TEXT("hold", "T", hold, "how long cells keep what is deleted (default 30d)"),
    TEXT("name", "NAME", device_name, "what this device is called (default: the host's name)"),
};

static const struct ctl_flag backup_flags[] = {
    FLAG("tag", 0, "T", CTL_LIST, tags, "a tag for the snapshot"),
    FLAG("host", 'H', "NAME", CTL_TEXT, host, "the host's name for the snapshot"),
    FLAG("exclude", 'e', "PATTERN", CTL_LIST, exclude, "leave out what matches"),
    LIST("exclude-file", "FILE", exclude_files, "patterns, one a line"),
    SWITCH("exclude-caches", exclude_caches, "leave out directories with a CACHEDIR.TAG"),
    LIST("exclude-if-present", "NAME[:HEADER]", exclude_if_present,
         "leave out directories with that file"),
    FLAG("one-file-system", 'x', NULL, CTL_BOOL, one_file_system,
         "do not enter other file systems"),
    SWITCH("ignore-ctime", ignore_ctime, "a new ctime alone is no change"),
    SWITCH("ignore-inode", ignore_inode, "a new inode number alone is no change"),
    FLAG("dry-run", 'n', NULL, CTL_BOOL, dry_run, "look and count, send nothing"),
    SWITCH("stdin", from_stdin, "back up what comes in by standard input, as the file \"stdin\""),
    TEXT("stdin-filename", "NAME", stdin_filename, "the same, as the file NAME"),
    SWITCH("stdin-from-command", stdin_from_command,
           "back up what the command behind \"--\" writes; no snapshot when it fails"),
    TEXT("limit-upload", "KIB", limit_upload, "at most so many KiB a second"),
    TEXT("time", "T", time, "the snapshot's time, \"2006-01-02 15:04:05\" (default: now)"),
    SWITCH("accept-risk", accept_risk,
           "also when only k cells of k+m can be had (none of them may be lost until more are), or "
           "the quota may be short"),
};

static const struct ctl_flag restore_flags[] = {
    FLAG("target", 't', "DIR", CTL_TEXT, target, "where to restore to"),
    FLAG("include", 'i', "PATTERN", CTL_LIST, include, "restore only what matches"),
    FLAG("exclude", 'e', "PATTERN", CTL_LIST, exclude, "leave out what matches"),
    FLAG("host", 'H', "NAME", CTL_TEXT, host, "\"latest\" of this host"),
    TEXT("overwrite", "WHEN", overwrite, "always (default), if-changed or never"),
    SWITCH("delete", delete_others, "remove from DIR what the snapshot does not have"),
    SWITCH("verify", verify, "read what was restored again and compare"),
    SWITCH("numeric-owners", numeric_owners, "owners by number, not by name"),
    FLAG("dry-run", 'n', NULL, CTL_BOOL, dry_run, "say what would be done"),
};

static const struct ctl_flag host_flags[] = {
    FLAG("host", 'H', "NAME", CTL_TEXT, host, "snapshots of this host only"),
    LIST("tag", "T[,T]", tags, "only those with these tags"),
};

static const struct ctl_flag ls_flags[] = {
    FLAG("host", 'H', "NAME", CTL_TEXT, host, "\"latest\" of this host"),
    FLAG("long", 'l', NULL, CTL_BOOL, long_listing, "modes, owners, sizes and times too"),
    SWITCH("recursive", recursive, "of PATH everything, not only what stands in it"),
};

static const struct ctl_flag find_flags[] = {
    FLAG("snapshot", 's', "SNAP", CTL_LIST, snapshots, "only in this snapshot"),
    FLAG("host", 'H', "NAME", CTL_TEXT, host, "only in snapshots of this host"),
    LIST("tag", "T[,T]", tags, "only in snapshots with these tags"),
    FLAG("long", 'l', NULL, CTL_BOOL, long_listing, "modes, owners, sizes and times too"),
    FLAG("ignore-case", 'i', NULL, CTL_BOOL, ignore_case, "a and A are the same"),
    FLAG("newest", 'N', "TIME", CTL_TEXT, newest, "nothing that was modified after it"),
    FLAG("oldest", 'O', "TIME", CTL_TEXT, oldest, "nothing that was modified before it"),
};

static const struct ctl_flag stats_flags[] = {
    TEXT(
        "mode", "MODE", mode,
        "restore-size (default): what a restore would write; files-by-contents: each content once; "
        "blobs-per-file: their pieces; raw-data: what is stored for all of it"),
    FLAG("host", 'H', "NAME", CTL_TEXT, host, "only snapshots of this host"),
    LIST("tag", "T[,T]", tags, "only snapshots with these tags"),
};

static const struct ctl_flag diff_flags[] = {
    FLAG("host", 'H', "NAME", CTL_TEXT, host, "\"latest\" of this host"),
    SWITCH("metadata", metadata, "tell also what has changed in modes, owners, times alone"),
};

static const struct ctl_flag dump_flags[] = {
    FLAG("host", 'H', "NAME", CTL_TEXT, host, "\"latest\" of this host"),
    FLAG("archive", 'a', "FORMAT", CTL_TEXT, archive, "of a directory: tar (default) or zip"),
    FLAG("target", 't', "FILE", CTL_TEXT, target, "write there, not to standard output"),
};

static const struct ctl_flag mount_flags[] = {
    FLAG("host", 'H', "NAME", CTL_TEXT, host, "snapshots of this host only"),
    LIST("tag", "T[,T]", tags, "only those with these tags"),
    SWITCH("allow-other", allow_other, "other users may look in too, as the files' modes allow"),
    SWITCH("no-default-permissions", no_default_permissions,
           "with --allow-other: whatever the modes say"),
    SWITCH("owner-root", owner_root, "show root as the owner of everything"),
};

static const struct ctl_flag forget_flags[] = {
    FLAG("keep-last", 'l', "N", CTL_TEXT, keep_last, "the N newest (or \"unlimited\")"),
    FLAG("keep-hourly", 'H', "N", CTL_TEXT, keep_hourly, "the newest of each of N hours"),
    FLAG("keep-daily", 'd', "N", CTL_TEXT, keep_daily, "the newest of each of N days"),
    FLAG("keep-weekly", 'w', "N", CTL_TEXT, keep_weekly, "the newest of each of N weeks"),
    FLAG("keep-monthly", 'm', "N", CTL_TEXT, keep_monthly, "the newest of each of N months"),
    FLAG("keep-yearly", 'y', "N", CTL_TEXT, keep_yearly, "the newest of each of N years"),
    TEXT("keep-within", "D", keep_within, "all of the last 1y5m7d2h before the newest one"),
    TEXT("keep-within-hourly", "D", keep_within_hourly, "one an hour within D"),
    TEXT("keep-within-daily", "D", keep_within_daily, "one a day within D"),
    TEXT("keep-within-weekly", "D", keep_within_weekly, "one a week within D"),
    TEXT("keep-within-monthly", "D", keep_within_monthly, "one a month within D"),
    TEXT("keep-within-yearly", "D", keep_within_yearly, "one a year within D"),
    LIST("keep-tag", "T[,T]", keep_tags, "those that have all of these tags"),
    TEXT("host", "NAME", host, "only snapshots of this host"),
    LIST("tag", "T[,T]", tags, "only snapshots with these tags"),
    LIST("path", "PATH", paths, "only snapshots of this path"),
    FLAG("group-by", 'g', "FIELDS", CTL_TEXT, group_by,
         "host,paths (default), tags, or \"\" for one group"),
    SWITCH("prune", prune, "free the space as well"),
    TEXT("max-unused", "P", max_unused, "with --prune: as prune has it"),
    LIST("exclude-device", "NAME", exclude_devices, "with --prune: as prune has it"),
    FLAG("dry-run", 'n', NULL, CTL_BOOL, dry_run, "say what would be forgotten"),
};

static const struct ctl_flag prune_flags[] = {
    TEXT("max-unused", "P", max_unused,
         "how much of what stays may be unneeded: 5% (default), 200M, unlimited"),
    LIST(
        "exclude-device", "NAME", exclude_devices,
        "do not wait for this device to know what is condemned, nor for what of it cannot be read: "
        "it is lost, or makes no backups"),
    FLAG("dry-run", 'n', NULL, CTL_BOOL, dry_run, "say what would be done"),
};

static const struct ctl_flag tag_flags[] = {
    LIST("add", "T[,T]", tags_add, "add these"),
    LIST("remove", "T[,T]", tags_remove, "remove these"),
    LIST("set", "T[,T]", tags_set, "have these and no others (\"\": none)"),
    FLAG("host", 'H', "NAME", CTL_TEXT, host, "only snapshots of this host"),
    LIST("tag", "T[,T]", tags, "only snapshots with these tags"),
    LIST("path", "PATH", paths, "only snapshots of this path"),
};

static const struct ctl_flag undelete_flags[] = {
    TEXT("phrase-file", "FILE", phrase_file, "the 24 words; without it they are asked for"),
    FLAG("host", 'H', "NAME", CTL_TEXT, host, "only snapshots of this host"),
    LIST("tag", "T[,T]", tags, "only snapshots with these tags"),
    LIST("path", "PATH", paths, "only snapshots of this path"),
};

static const struct ctl_flag hold_flags[] = {
    TEXT("phrase-file", "FILE", phrase_file, "the 24 words, for a shorter hold"),
};

static const struct ctl_flag check_flags[] = {
    SWITCH("read-data", read_data, "fetch and verify every shard"),
    TEXT("read-data-subset", "N%|n/t", read_data_subset, "only a part of them"),
};

static const struct ctl_flag repair_flags[] = {
    SWITCH("read-data", read_data, "fetch and verify every shard first"),
};

static const struct ctl_flag drill_flags[] = {
    TEXT("phrase-file", "FILE", phrase_file,
         "the words, and behind them lines \"at ID@host:port\""),
    LIST("from", "ADDR", from, "a coordinator or cell to begin with, ID@host:port"),
    TEXT("sample", "P%", sample, "restore only so many of the files, chosen by lot"),
    TEXT("target", "DIR", target, "restore there and keep it, instead of a scratch folder"),
    TEXT("host", "NAME", host, "of \"latest\""),
};

static const struct ctl_flag cells_flags[] = {
    TEXT("code", "TEXT", code, "the code in the cell's DATA/claim-code, when it is not near"),
    TEXT("until", "T", until, "away: how long, as in 14d, or until when, as in 2026-03-01"),
};

static const struct ctl_flag recover_flags[] = {
    TEXT("phrase-file", "FILE", phrase_file,
         "the words, and behind them lines \"at ID@host:port\""),
    SWITCH("no-passphrase", no_passphrase, "keep a key file, for a machine that starts alone"),
    LIST("from", "ADDR", from, "a coordinator or cell to begin with, ID@host:port"),
    TEXT("name", "NAME", device_name, "what this device is called (default: the host's name)"),
};

static const struct ctl_flag join_flags[] = {
    TEXT("invite", "STRING", invite, "the invite of the account, from \"cellctl device invite\""),
    SWITCH("no-passphrase", no_passphrase, "keep a key file, for a machine that starts alone"),
    TEXT("name", "NAME", device_name, "what this device is called (default: the host's name)"),
    LIST("from", "ADDR", from, "a cell to ask when the coordinator is away, ID@host:port"),
    SWITCH("no-wait", no_wait, "leave the request and end; a later \"cellctl join\" goes on"),
};

static const struct ctl_flag device_flags[] = {
    TEXT("capabilities", "LIST", capabilities,
         "of put, read, delete, admin (invite; default: put,read)"),
    TEXT("expires", "T", expires, "how long the invite counts (default 7d)"),
    SWITCH("wait", wait, "wait for the new device and take it in"),
    TEXT("phrase-file", "FILE", phrase_file,
         "the recovery phrase: to make an admin, or revoke one"),
};

static const struct ctl_flag key_flags[] = {
    TEXT("new-passphrase-file", "FILE", new_passphrase_file,
         "read the new passphrase from FILE (add, passwd)"),
    SWITCH("no-passphrase", no_passphrase, "add a key file instead of a passphrase"),
    SWITCH("rewrite", rewrite, "rotate: also store again what is under old data keys"),
};

static const struct ctl_flag phrase_flags[] = {
    TEXT("phrase-file", "FILE", phrase_file, "read the words from FILE instead of asking"),
    TEXT("new-phrase-file", "FILE", new_phrase_file,
         "replace: write the new words there (0600) instead of showing them"),
};

static const struct ctl_command commands[] = {
    {
        .name = "init",
        .arguments = "--invite STRING",
        .summary = "make a new account and this machine its first device",
        .text = "The invite comes from the swarm's coordinator. The 24 words that are shown are "
                "the only way\n"
                "back when this machine is lost: write them down.",
        .example = "cellctl init --invite cellar-ab3d... --phrase-file words.txt",
        FLAGS(init_flags),
        .run = ctl_init,
    },
    {
        .name = "backup",
        .arguments = "PATH...",
        .summary = "back up files and directories into a new snapshot",
        .text =
            "What cannot be read is listed and the rest is backed up (exit code 3). With -v each "
            "file that is new\n"
            "or has changed is listed too, and with --dry-run -v each that would be read.\n"
            "With --stdin-from-command the arguments are a command and its arguments.",
        .example = "cellctl backup ~/documents ~/photos --exclude '*.tmp'\n"
                   "  cellctl backup --stdin-filename all.sql --stdin-from-command -- pg_dumpall",
        FLAGS(backup_flags),
        .arguments_max = UINT_MAX,
        .run = ctl_backup,
    },
    {
        .name = "snapshots",
        .arguments = "[SNAP...]",
        .summary = "list the snapshots",
        .example = "cellctl snapshots --host laptop",
        FLAGS(host_flags),
        .arguments_max = 1024,
        .run = ctl_snapshots,
    },
    {
        .name = "ls",
        .arguments = "SNAP [PATH]",
        .summary = "list the files of a snapshot",
        .text = "SNAP is an ID, the beginning of one, or \"latest\". With PATH, that and what "
                "stands in it.",
        .example = "cellctl ls -l latest /home/anna",
        FLAGS(ls_flags),
        .arguments_min = 1,
        .arguments_max = 2,
        .run = ctl_ls,
    },
    {
        .name = "find",
        .arguments = "PATTERN...",
        .summary = "find files by name in all snapshots",
        .text = "Patterns are those of backup --exclude: a name, or a path, with * ? [] and **. "
                "What lies in a\n"
                "directory that matches is found too.",
        .example = "cellctl find -l --oldest 2026-01-01 '*.pdf'",
        FLAGS(find_flags),
        .arguments_min = 1,
        .arguments_max = 64,
        .run = ctl_find,
    },
    {
        .name = "diff",
        .arguments = "SNAP SNAP",
        .summary = "tell what is different between two snapshots",
        .text =
            "+ added, - removed, M another content, T another type, U other metadata, ? another "
            "content\n"
            "although nothing else has changed (bad memory or a bad disk does that). "
            "Directories that are\n"
            "the same in both are not looked into.",
        .example = "cellctl diff zrlecjax latest",
        FLAGS(diff_flags),
        .arguments_min = 2,
        .arguments_max = 2,
        .run = ctl_diff,
    },
    {
        .name = "dump",
        .arguments = "SNAP[:SUBPATH] PATH",
        .summary = "write a file of a snapshot, or a directory as an archive, to standard output",
        .text =
            "A directory comes as tar with everything that a backup keeps; GNU tar gets it all "
            "back with\n"
            "--xattrs --xattrs-include='*' --acls. With SNAP:SUBPATH, PATH and the archive's "
            "names are\n"
            "below SUBPATH. What cannot be had is listed and is zeros in the archive (exit code "
            "13).",
        .example = "cellctl dump latest /etc/fstab\n"
                   "  cellctl dump latest /home/anna | tar -x --xattrs --acls -C /tmp/back",
        FLAGS(dump_flags),
        .arguments_min = 2,
        .arguments_max = 2,
        .run = ctl_dump,
    },
    {
        .name = "mount",
        .arguments = "DIR",
        .summary = "show the snapshots as a read-only file system",
        .text = "DIR gets snapshots/<time>, hosts/<host>/<time>, tags/<tag>/<time>, ids/<id> and, "
                "for Samba,\n"
                "@GMT-YYYY.MM.DD-HH.MM.SS. Stays in the foreground until Ctrl-C or fusermount3 -u.",
        .example = "cellctl mount /mnt/backups",
        FLAGS(mount_flags),
        .arguments_min = 1,
        .arguments_max = 1,
        .run = ctl_mount,
    },
    {
        .name = "restore",
        .arguments = "SNAP[:SUBPATH] --target DIR",
        .summary = "restore a snapshot, or a part of it, into a directory",
        .text = "The source's absolute path is made anew under DIR; with SNAP:SUBPATH, what is "
                "below SUBPATH.\n"
                "What cannot be had is listed and the rest is restored (exit code 13).",
        .example = "cellctl restore latest --target /tmp/back --include '*.odt'",
        FLAGS(restore_flags),
        .arguments_min = 1,
        .arguments_max = 1,
        .run = ctl_restore,
    },
    {
        .name = "forget",
        .arguments = "[SNAP...]",
        .summary = "forget snapshots, by name or by what a policy does not keep",
        .text = "A policy keeps, in each group of snapshots, what any of its rules keeps; periods "
                "are those of the\n"
                "calendar in local time. Forgetting frees nothing by itself: \"prune\" does, or "
                "--prune.",
        .example = "cellctl forget --keep-daily 7 --keep-weekly 5 --keep-monthly 12 --prune",
        FLAGS(forget_flags),
        .arguments_max = UINT_MAX,
        .run = ctl_forget,
    },
    {
        .name = "prune",
        .arguments = "",
        .summary = "free the space of what no snapshot needs",
        .text = "What is not needed is condemned; it is deleted once every device of the account "
                "knows that, and cells\n"
                "keep it for the account's hold (30 days by default), in which \"undelete\" brings "
                "it back.",
        .example = "cellctl prune --max-unused 10%",
        FLAGS(prune_flags),
        .run = ctl_prune,
    },
    {
        .name = "tag",
        .arguments = "[SNAP...]",
        .summary = "change the tags of snapshots",
        .text = "A snapshot with other tags gets another ID; what it was made from is forgotten.",
        .example = "cellctl tag --add keep latest",
        FLAGS(tag_flags),
        .arguments_max = UINT_MAX,
        .run = ctl_tag,
    },
    {
        .name = "undelete",
        .arguments = "[SNAP...]",
        .summary = "bring back what was forgotten, and what cells still hold of it",
        .text = "Needs the recovery phrase. Without names everything that can be had whole comes "
                "back.",
        .example = "cellctl undelete --phrase-file words.txt",
        FLAGS(undelete_flags),
        .arguments_max = UINT_MAX,
        .run = ctl_undelete,
    },
    {
        .name = "hold",
        .arguments = "[T]",
        .summary = "show or change how long cells keep what is deleted",
        .text = "A longer hold takes an admin device, a shorter one the recovery phrase.",
        .example = "cellctl hold 60d",
        FLAGS(hold_flags),
        .arguments_max = 1,
        .run = ctl_hold,
    },
    {
        .name = "check",
        .arguments = "",
        .summary = "compare the index with what the cells have",
        .text = "Says each segment's margin; with --read-data every shard is fetched and verified.",
        .example = "cellctl check --read-data",
        FLAGS(check_flags),
        .run = ctl_check,
    },
    {
        .name = "repair",
        .arguments = "",
        .summary = "make again what is missing on the cells, now, from this machine",
        .text = "Asks all cells, marks what they lack, makes those shards again from the others "
                "and stores them.\n"
                "Where too few are left, the newest snapshot's paths are backed up again.",
        .example = "cellctl repair --read-data",
        FLAGS(repair_flags),
        .run = ctl_repair,
    },
    {
        .name = "drill",
        .arguments = "[SNAP]",
        .summary = "rehearse a recovery: restore from the phrase and the swarm alone, and compare",
        .text = "Uses neither the vault nor its index: an index is rebuilt in a scratch folder, "
                "the latest snapshot\n"
                "(or a sample of it) restored beside it, and compared with this machine's files. "
                "\"status\" shows the\n"
                "last one.",
        .example = "cellctl drill --phrase-file words.txt --sample 5%",
        FLAGS(drill_flags),
        .arguments_max = 1,
        .run = ctl_drill,
    },
    {
        .name = "status",
        .arguments = "",
        .summary = "who is here and what is safe",
        .example = "cellctl status",
        .run = ctl_status,
    },
    {
        .name = "cells",
        .arguments = "[claim ID|away ID --until T]",
        .summary = "list the swarm's cells, or say that one is yours, or will be silent",
        .text =
            "A claimed cell never gets its owner's shards, and counts for the owner. One that is "
            "away does not\n"
            "count as gone, and nothing of it is repaired elsewhere, until then.",
        .example = "cellctl cells claim ID",
        FLAGS(cells_flags),
        .arguments_max = 2,
        .run = ctl_cells,
    },
    {
        .name = "stats",
        .arguments = "[SNAP...]",
        .summary = "how much is in snapshots, or stored",
        .example = "cellctl stats latest\n  cellctl stats --mode raw-data --json",
        FLAGS(stats_flags),
        .arguments_max = 1024,
        .run = ctl_stats,
    },
    {
        .name = "recover",
        .arguments = "",
        .summary = "make a vault again on a bare machine, from the recovery phrase",
        .text = "Needs the words and one coordinator or cell that can be reached; by default those "
                "that the\n"
                "phrase file names. Without --phrase-file the words are asked for.\n"
                "Where a vault is and no flag is given, only its index is made anew, when it is "
                "damaged\n"
                "or gone: with the vault's own keys, from what the swarm holds.",
        .example = "cellctl recover --phrase-file words.txt --from ID@host:7843",
        FLAGS(recover_flags),
        .run = ctl_recover,
    },
    {
        .name = "join",
        .arguments = "--invite STRING",
        .summary = "make this machine one more device of an existing account",
        .text = "The invite comes from \"cellctl device invite\" on a device of the account. It "
                "waits until an admin\n"
                "device of the account has taken this one in; both need not be on at the same "
                "time.",
        .example = "cellctl join --invite cellar-ab3d... --name attic",
        FLAGS(join_flags),
        .run = ctl_join,
    },
    {
        .name = "device",
        .arguments = "invite|list|admit|revoke ID",
        .summary = "invite, list and revoke the devices of the account",
        .text = "A device may put (back up), read (restore what any device backed up), delete, "
                "and be admin (invite\n"
                "and revoke). One that may only put reads nothing but its own. \"list\" and "
                "every backup on an admin\n"
                "device take in who has joined by an invite.",
        .example = "cellctl device invite --capabilities put --expires 1d --wait",
        FLAGS(device_flags),
        .arguments_min = 1,
        .arguments_max = 2,
        .run = ctl_device,
    },
    {
        .name = "key",
        .arguments = "list|add|remove N|passwd|rotate|rewrite",
        .summary = "what opens this vault (passphrases, a key file), and what it writes under",
        .text =
            "Each slot opens the vault by itself; the last one cannot be removed. passwd puts "
            "a new passphrase\n"
            "in the place of what opened the vault. rotate makes a new data key: what is "
            "stored from then on is\n"
            "under it, and old data stays readable. rewrite (and rotate --rewrite) stores again "
            "what this device has\n"
            "under old data keys, and has the cells forget the old segments, as prune does.",
        .example = "cellctl key add --new-passphrase-file second.txt",
        FLAGS(key_flags),
        .arguments_min = 1,
        .arguments_max = 2,
        .run = ctl_key,
    },
    {
        .name = "phrase",
        .arguments = "check|replace",
        .summary = "check the recovery phrase of the account, or replace it by another",
        .text =
            "check: are these the account's words? replace: 24 new words count from now on, and "
            "the old ones open\n"
            "nothing any more. The account's reading key changes with them; revoked devices do "
            "not get the new one.",
        .example = "cellctl phrase replace --phrase-file words.txt --new-phrase-file new-words.txt",
        FLAGS(phrase_flags),
        .arguments_min = 1,
        .arguments_max = 1,
        .run = ctl_phrase_command,
    },
    {
        .name = "unlock",
        .arguments = "",
        .summary = "is the vault in use? (a dead process holds no lock)",
        .example = "cellctl unlock",
        .run = ctl_unlock,
    },
    {
        .name = "version",
        .arguments = "",
        .summary = "print the version",
        .example = "cellctl version",
        .run = ctl_version,
    },
    {
        .name = "completion",
        .arguments = "bash|zsh|fish",
        .summary = "print a completion script for a shell",
        .text =
            "Lasting: into /etc/bash_completion.d/cellctl, a file _cellctl of zsh's $fpath, or\n"
            "~/.config/fish/completions/cellctl.fish.",
        .example = "source <(cellctl completion bash)\n  cellctl completion fish | source",
        .arguments_min = 1,
        .arguments_max = 1,
        .run = ctl_completion,
    },
};

const struct ctl_command *ctl_commands(size_t *count)
{
    *count = ARRAY_COUNT(commands);
    return commands;
}

const struct ctl_command *ctl_command_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (!strcmp(commands[i].name, name))
            return &commands[i];
    }
    return NULL;
}
