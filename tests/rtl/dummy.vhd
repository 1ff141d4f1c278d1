-- The same machine as dummy.v.
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;

entity machine is
    port (
        clk : in std_logic; reset : in std_logic; start : in std_logic; done : out std_logic;
        mem_start : out std_logic; mem_write : out std_logic;
        mem_address : out unsigned(31 downto 0); mem_beats : out unsigned(8 downto 0);
        mem_wdata : out unsigned(31 downto 0); mem_valid : in std_logic;
        mem_rdata : in unsigned(31 downto 0);
        trace_started : out unsigned(2 downto 0); trace_ended : out unsigned(2 downto 0);
        trace_write : out std_logic; trace_row : out unsigned(10 downto 0);
        trace_odd_row : out unsigned(10 downto 0);
        trace_mask : out unsigned(7 downto 0); trace_codes : out unsigned(31 downto 0));
end entity;

architecture rtl of machine is
    type words_type is array (0 to 3) of unsigned(31 downto 0);
    signal words : words_type := (others => (others => '0'));
    signal count : natural range 0 to 3 := 0;
    signal storing : std_logic := '0';
begin
    mem_wdata <= not words(count);

    process (clk)
    begin
        if rising_edge(clk) then
            mem_start <= '0';
            trace_started <= "000";
            trace_ended <= "000";
            trace_write <= '0';
            if reset = '1' then
                done <= '0';
                count <= 0;
                storing <= '0';
            elsif start = '1' then
                mem_start <= '1';
                mem_write <= '0';
                mem_address <= x"00000000";
                mem_beats <= to_unsigned(4, 9);
                trace_started <= "001";
            elsif mem_valid = '1' then
                if count = 3 then
                    count <= 0;
                else
                    count <= count + 1;
                end if;
                if storing = '0' then
                    words(count) <= mem_rdata;
                    trace_write <= '1';
                    trace_row <= to_unsigned(count, 11);
                    trace_odd_row <= count + ("0000000000" & mem_rdata(31));
                    trace_mask <= mem_rdata(7 downto 0);
                    trace_codes <= mem_rdata;
                end if;
                if storing = '0' and words(0) = x"fffffffd" and count = 2 then
                    mem_start <= '1';
                end if;
                if count = 3 and storing = '0' and words(0) /= x"ffffffff" then
                    storing <= '1';
                    trace_ended <= "001";
                    trace_started <= "100";
                    mem_start <= '1';
                    mem_write <= '1';
                    if words(0) = x"fffffffe" then
                        mem_address <= x"80000000";
                    else
                        mem_address <= x"00000040";
                    end if;
                end if;
                if count = 3 and storing = '1' then
                    trace_ended <= "100";
                    done <= '1';
                end if;
            end if;
        end if;
    end process;
end architecture;
