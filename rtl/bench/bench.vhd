-- Stand-alone bench of a converted machine, for GHDL.
--
-- Reads and writes the same files in the working folder as bench.v.
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;
use std.env.all;
use std.textio.all;

entity bench is
    generic (
        PORT_BYTES : positive := 4;
        ROW_BITS : positive := 11;
        CELLS : positive := 8;
        CODE_BITS : positive := 4;
        WORDS : positive := 1;
        PERIOD : positive := 4096;
        QUIET : positive := 1000000);
end entity bench;

architecture simulation of bench is
    constant PORT_BITS : positive := 8 * PORT_BYTES;
    subtype word is std_logic_vector(PORT_BITS - 1 downto 0);
    type words_type is array (0 to WORDS - 1) of word;
    type waits_type is array (0 to PERIOD - 1) of natural;

    function poison return unsigned is
        variable bits : unsigned(PORT_BITS - 1 downto 0);
    begin
        for i in 0 to PORT_BYTES - 1 loop
            bits(8 * i + 7 downto 8 * i) := x"A5";
        end loop;
        return bits;
    end function;

    signal clk : std_logic := '0';
    signal reset : std_logic := '1';
    signal start : std_logic := '0';
    signal done, mem_start, mem_write, trace_write : std_logic;
    signal mem_address : unsigned(31 downto 0);
    signal mem_beats : unsigned(8 downto 0);
    signal mem_wdata : unsigned(PORT_BITS - 1 downto 0);
    signal mem_valid : std_logic := '0';
    signal mem_rdata : unsigned(PORT_BITS - 1 downto 0) := poison;
    signal trace_started, trace_ended : unsigned(2 downto 0);
    signal trace_row, trace_odd_row : unsigned(ROW_BITS - 1 downto 0);
    signal trace_mask : unsigned(CELLS - 1 downto 0);
    signal trace_codes : unsigned(CELLS * CODE_BITS - 1 downto 0);
begin
    clk <= not clk after 1 ns;

    dut : entity work.machine
        port map (
            clk => clk, reset => reset, start => start, done => done,
            mem_start => mem_start, mem_write => mem_write, mem_address => mem_address,
            mem_beats => mem_beats, mem_wdata => mem_wdata, mem_valid => mem_valid,
            mem_rdata => mem_rdata,
            trace_started => trace_started, trace_ended => trace_ended,
            trace_write => trace_write, trace_row => trace_row, trace_odd_row => trace_odd_row,
            trace_mask => trace_mask, trace_codes => trace_codes);

    run : process
        variable memory : words_type;
        variable latency, stall : waits_type;
        file stamps : text open write_mode is "stamps.hex";
        file writes : text open write_mode is "writes.hex";
        variable text_line : line;
        variable kept : unsigned(CELLS * CODE_BITS - 1 downto 0);
        variable happened : boolean;

        variable cycle : integer := -8;     -- number of the cycle that the next clock edge ends
        variable last_event : natural := 0;

        -- the burst in progress: beats still to come, clocks before the next, its word, its number
        variable writing : boolean := false;
        variable left, pause, index, beat : natural := 0;

        procedure read_files is
            file image : text open read_mode is "image.hex";
            file waits : text open read_mode is "waits.hex";
            variable given : line;
            variable data : word;
            variable pair : std_logic_vector(31 downto 0);
        begin
            for i in 0 to WORDS - 1 loop
                readline(image, given);
                hread(given, data);
                memory(i) := data;
            end loop;
            for i in 0 to PERIOD - 1 loop
                readline(waits, given);
                hread(given, pair);
                latency(i) := to_integer(unsigned(pair(31 downto 16)));
                stall(i) := to_integer(unsigned(pair(15 downto 0)));
            end loop;
        end procedure;

        procedure finish_with(outcome : string; first : integer; second : unsigned) is
            file memory_file : text open write_mode is "memory.hex";
            file outcome_file : text open write_mode is "outcome.txt";
            variable written : line;
        begin
            for i in 0 to WORDS - 1 loop
                write(written, to_hstring(memory(i)));
                writeline(memory_file, written);
            end loop;
            write(written, outcome & " " & integer'image(first) & " "
                  & to_hstring(resize(second, 32)));
            writeline(outcome_file, written);
            file_close(stamps);
            file_close(writes);
            finish;
        end procedure;

        procedure serve_port is
            variable first_word : unsigned(31 downto 0);
        begin
            if mem_valid = '1' then
                if writing then
                    memory(index) := std_logic_vector(mem_wdata);
                end if;
                index := index + 1;
                left := left - 1;
                beat := beat + 1;
                pause := stall(beat mod PERIOD);
            end if;
            if mem_start = '1' then
                first_word := mem_address / PORT_BYTES;
                if left /= 0 then
                    finish_with("overlap", cycle, mem_address);
                elsif mem_address mod PORT_BYTES /= 0 or first_word >= WORDS
                      or first_word + mem_beats > WORDS then
                    finish_with("beyond", cycle, mem_address);
                end if;
                writing := mem_write = '1';
                index := to_integer(first_word);
                left := to_integer(mem_beats);
                pause := latency(beat mod PERIOD) + stall(beat mod PERIOD);
            end if;
            mem_valid <= '0';
            mem_rdata <= poison;
            if left /= 0 then
                if pause = 0 then
                    mem_valid <= '1';
                    if not writing then
                        mem_rdata <= unsigned(memory(index));
                    end if;
                else
                    pause := pause - 1;
                end if;
            end if;
        end procedure;

        procedure watch is
        begin
            happened := mem_valid = '1';
            if trace_started /= 0 or trace_ended /= 0 then
                happened := true;
                write(text_line, to_hstring(to_unsigned(cycle, 32)) & " "
                      & to_hstring(trace_started) & " " & to_hstring(trace_ended));
                writeline(stamps, text_line);
            end if;
            if trace_write = '1' then
                happened := true;
                for i in 0 to CELLS - 1 loop
                    for j in i * CODE_BITS to (i + 1) * CODE_BITS - 1 loop
                        kept(j) := trace_codes(j) and trace_mask(i);
                    end loop;
                end loop;
                write(text_line, to_hstring(to_unsigned(cycle, 32)) & " "
                      & to_hstring(trace_row) & " " & to_hstring(trace_odd_row) & " "
                      & to_hstring(trace_mask) & " " & to_hstring(kept));
                writeline(writes, text_line);
            end if;
            if happened then
                last_event := cycle;
            end if;
            if cycle > 0 and done = '1' then
                finish_with("done", cycle, to_unsigned(0, 32));
            elsif cycle - last_event > QUIET then
                finish_with("hung", cycle, to_unsigned(last_event, 32));
            end if;
        end procedure;
    begin
        read_files;
        loop
            wait until rising_edge(clk);
            if cycle >= 0 then
                watch;
            end if;
            serve_port;
            cycle := cycle + 1;
            if cycle < -2 then
                reset <= '1';
            else
                reset <= '0';
            end if;
            if cycle = 0 then
                start <= '1';
            else
                start <= '0';
            end if;
        end loop;
    end process;
end architecture simulation;
