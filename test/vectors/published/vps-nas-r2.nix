services.postgresql.settings = {
archive_mode = "on";
archive_command = "${pkgs.pgbackrest}/bin/pgbackrest --stanza=main archive-push %p";
archive_timeout = "300"; # 5-minute RPO
};
