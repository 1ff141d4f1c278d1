// Stand-alone bench of a converted machine, for Icarus and Verilator.
//
// Files lie in the working folder. In: image.hex (external memory, a word of the port a line),
// waits.hex ({latency, stall}, 16 bits each, a line). Out: memory.hex (as image.hex), stamps.hex
// (cycle, started, ended), writes.hex (cycle, row, row of the odd word, mask, codes; codes that the
// mask leaves out are zero) and outcome.txt (a word, a cycle, a hexadecimal number). Plusargs: words, quiet (cycles without any event
// after which the machine is taken to hang).
`timescale 1ns / 1ns
module bench;
    parameter PORT_BYTES = 4;
    parameter ROW_BITS = 11;
    parameter CELLS = 8;
    parameter CODE_BITS = 4;
    parameter DEPTH = 65536;
    parameter PERIOD = 4096;

    localparam PORT_BITS = 8 * PORT_BYTES;
    localparam [PORT_BITS-1:0] POISON = {PORT_BYTES{8'hA5}};

    reg clk = 0;
    reg reset = 1;
    reg start = 0;
    wire done;
    wire mem_start, mem_write;
    wire [31:0] mem_address;
    wire [8:0] mem_beats;
    wire [PORT_BITS-1:0] mem_wdata;
    reg mem_valid = 0;
    reg [PORT_BITS-1:0] mem_rdata = POISON;
    wire [2:0] trace_started, trace_ended;
    wire trace_write;
    wire [ROW_BITS-1:0] trace_row, trace_odd_row;
    wire [CELLS-1:0] trace_mask;
    wire [CELLS*CODE_BITS-1:0] trace_codes;

    machine dut (
        .clk(clk), .reset(reset), .start(start), .done(done),
        .mem_start(mem_start), .mem_write(mem_write), .mem_address(mem_address),
        .mem_beats(mem_beats), .mem_wdata(mem_wdata), .mem_valid(mem_valid),
        .mem_rdata(mem_rdata),
        .trace_started(trace_started), .trace_ended(trace_ended), .trace_write(trace_write),
        .trace_row(trace_row), .trace_odd_row(trace_odd_row), .trace_mask(trace_mask),
        .trace_codes(trace_codes));

    reg [PORT_BITS-1:0] memory [0:DEPTH-1];
    reg [31:0] waits [0:PERIOD-1];

    integer words, quiet, stamps, writes, i;
    integer cycle = -8;                 // number of the cycle that the next clock edge ends
    integer last_event = 0;
    reg finished = 0;

    // the burst in progress: beats still to come, clocks before the next, its word, its number
    reg writing = 0;
    integer left = 0;
    integer pause = 0;
    integer index = 0;
    integer beat = 0;

    reg [31:0] wait_entry;
    reg [CELLS*CODE_BITS-1:0] kept;

    initial begin
        if (!$value$plusargs("words=%d", words)) words = DEPTH;
        if (!$value$plusargs("quiet=%d", quiet)) quiet = 1000000;
        $readmemh("image.hex", memory, 0, words - 1);
        $readmemh("waits.hex", waits);
        stamps = $fopen("stamps.hex", "w");
        writes = $fopen("writes.hex", "w");
`ifdef DUMP
        $dumpfile("trace.vcd");
        $dumpvars(0, bench);
`endif
    end

    always #1 clk = ~clk;

    task finish(input [63:0] word, input integer first, input integer second);
        integer file, k;
        if (!finished) begin
            finished = 1;
            file = $fopen("memory.hex", "w");
            for (k = 0; k < words; k = k + 1)
                $fdisplay(file, "%h", memory[k]);
            $fclose(file);
            $fclose(stamps);
            $fclose(writes);
            file = $fopen("outcome.txt", "w");
            $fdisplay(file, "%0s %0d %h", word, first, second);
            $fclose(file);
            $finish;
        end
    endtask

    task watch;
        begin
            if (trace_started != 0 || trace_ended != 0)
                $fdisplay(stamps, "%h %h %h", cycle, trace_started, trace_ended);
            if (trace_write) begin
                for (i = 0; i < CELLS; i = i + 1)
                    kept[i*CODE_BITS +: CODE_BITS] =
                        trace_codes[i*CODE_BITS +: CODE_BITS] & {CODE_BITS{trace_mask[i]}};
                $fdisplay(writes, "%h %h %h %h %h", cycle, trace_row, trace_odd_row, trace_mask,
                          kept);
            end
            if (trace_started != 0 || trace_ended != 0 || trace_write || mem_valid)
                last_event = cycle;
            if (cycle > 0 && done)
                finish("done", cycle, 0);
            else if (cycle - last_event > quiet)
                finish("hung", cycle, last_event);
        end
    endtask

    // the end of a cycle on the memory port: the beat in it is done, a burst may begin
    task take_port;
        begin
            if (mem_valid) begin
                if (writing) memory[index] = mem_wdata;
                index = index + 1;
                left = left - 1;
                beat = beat + 1;
                wait_entry = waits[beat % PERIOD];
                pause = {16'd0, wait_entry[15:0]};
            end
            if (mem_start) begin
                if (left != 0)
                    finish("overlap", cycle, mem_address);
                else if (mem_address % PORT_BYTES != 0
                         || mem_address / PORT_BYTES + {23'd0, mem_beats} > words)
                    finish("beyond", cycle, mem_address);
                writing = mem_write;
                index = mem_address / PORT_BYTES;
                left = {23'd0, mem_beats};
                wait_entry = waits[beat % PERIOD];
                pause = {16'd0, wait_entry[31:16]} + {16'd0, wait_entry[15:0]};
            end
        end
    endtask

    always @(posedge clk) begin : clock
        if (cycle >= 0) watch;
        take_port;
        mem_valid <= 0;
        mem_rdata <= POISON;
        if (left != 0) begin
            if (pause == 0) begin
                mem_valid <= 1;
                if (!writing) mem_rdata <= memory[index];
            end
            else
                pause = pause - 1;
        end
        cycle = cycle + 1;
        reset <= cycle < -2;
        start <= cycle == 0;
    end
endmodule
