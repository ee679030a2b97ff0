/* commands.h - the commands, by the file that has them. */
#ifndef SHELL_COMMANDS_H
#define SHELL_COMMANDS_H

#include "shell.h"

/* manage.c */
extern const shell_command command_create, command_stats, command_check, command_checkpoint,
    command_vacuum;
/* info.c */
extern const shell_command command_info, command_ls, command_schema, command_limits;
/* alias.c */
extern const shell_command command_rename, command_alias;
/* whole.c */
extern const shell_command command_copy, command_drop;
/* payload.c */
extern const shell_command command_payload;
/* import.c */
extern const shell_command command_import;
/* export.c */
extern const shell_command command_export;
/* records.c */
extern const shell_command command_get, command_scan, command_count;
/* del.c */
extern const shell_command command_del;
/* put.c */
extern const shell_command command_put, command_set;
/* search.c */
extern const shell_command command_search, command_distance;
/* notes.c */
extern const shell_command command_kv;
/* transaction.c */
extern const shell_command command_begin, command_commit, command_rollback, command_savepoint,
    command_rollback_to, command_release;
/* measure.c */
extern const shell_command command_recall, command_bench;
/* command.c */
extern const shell_command command_help_command;

#endif
